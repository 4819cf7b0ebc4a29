import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;

/** Topics: made, shown, set, grown, moved, emptied; and deleted, when nothing needs them. */
final class TopicSteps {
    private final AdminProgram program;
    private final Admin admin;
    private final Admin impatient;
    private final String topic;

    TopicSteps(AdminProgram program, Admin admin, Admin impatient, String name) {
        this.program = program;
        this.admin = admin;
        this.impatient = impatient;
        this.topic = name;
    }

    void run() throws Exception {
        creating();
        showing();
        configs();
        partitions();
        offsets();
    }

    private NewTopic plain(String name) {
        return new NewTopic(name, 2, (short) 1);
    }

    private void creating() throws Exception {
        program.step("createTopics", () -> admin.createTopics(List.of(
                plain(topic).configs(Map.of("retention.ms", "600000")),
                new NewTopic(topic + "-default", Optional.empty(), Optional.empty()),
                new NewTopic(topic + "-placed", Map.of(0, List.of(1), 1, List.of(1))))));
        program.step("createTopics: what was made", () -> {
            var made = admin.createTopics(List.of(plain(topic + "-made")));
            return List.of(
                    made.numPartitions(topic + "-made"),
                    made.replicationFactor(topic + "-made"),
                    made.topicId(topic + "-made"),
                    made.config(topic + "-made"));
        });
        AdminProgram.until(() -> admin.listTopics().names().get().containsAll(
                List.of(topic, topic + "-default", topic + "-placed", topic + "-made")));
        program.step("createTopics: again", () -> admin.createTopics(List.of(plain(topic))));
        program.step("createTopics: only looked at", () -> admin.createTopics(
                List.of(plain(topic + "-unmade")), new CreateTopicsOptions().validateOnly(true)));
        program.step("createTopics: refused", () -> admin.createTopics(List.of(
                plain("not/a/name"),
                new NewTopic(topic + "-0", 0, (short) 1),
                plain(topic + "-1").configs(Map.of("retention.ms", "soon")),
                plain(topic + "-2").configs(Map.of("no.such", "1")),
                new NewTopic(topic + "-3", Map.of(1, List.of(1))),
                new NewTopic(topic + "-4", Map.of(0, List.of(77))))));
    }

    private void showing() throws Exception {
        program.step("listTopics", () -> admin.listTopics().names().get().stream()
                .filter(name -> name.startsWith(topic)).sorted().toList());
        program.step("listTopics: internal ones, too", () -> admin
                .listTopics(new ListTopicsOptions().listInternal(true)).listings().get().stream()
                .filter(listing -> listing.name().startsWith(topic)).sorted(
                        (one, two) -> one.name().compareTo(two.name())).toList());
        program.step("describeTopics", () -> admin.describeTopics(
                List.of(topic, topic + "-placed", topic + "-missing")).topicNameValues());
        program.step("describeTopics: with permissions", () -> admin.describeTopics(
                List.of(topic), new DescribeTopicsOptions().includeAuthorizedOperations(true))
                .topicNameValues());
        program.step("describeTopics: in small pieces", () -> admin.describeTopics(
                List.of(topic, topic + "-placed"),
                new DescribeTopicsOptions().partitionSizeLimitPerResponse(1)).topicNameValues());
        program.step("describeTopics: by id", () -> {
            Uuid id = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId();
            return admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds();
        });
        program.step("describeTopics: by an id that is none's", () -> admin.describeTopics(
                TopicCollection.ofTopicIds(List.of(new Uuid(1, 2)))).allTopicIds());
    }

    private ConfigResource resource() {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private Map<ConfigResource, Collection<AlterConfigOp>> change(OpType type, String name, String value) {
        return Map.of(resource(), List.of(new AlterConfigOp(new ConfigEntry(name, value), type)));
    }

    private void configs() throws Exception {
        program.step("describeConfigs", () -> admin.describeConfigs(List.of(resource())).values());
        program.step("describeConfigs: with everything", () -> admin.describeConfigs(
                List.of(resource()),
                new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true)).values()
                .get(resource()).get().entries().stream().map(entry -> Arrays.asList(
                        entry.name(), entry.type(), entry.source(), entry.synonyms().size(),
                        entry.documentation() == null ? null : "text"))
                .sorted((one, two) -> one.toString().compareTo(two.toString())).toList());
        program.step("describeConfigs: a missing topic", () -> admin.describeConfigs(
                List.of(new ConfigResource(ConfigResource.Type.TOPIC, topic + "-missing"))).all());
        program.step("incrementalAlterConfigs: set", () -> admin.incrementalAlterConfigs(
                change(OpType.SET, "retention.bytes", "1000000")));
        program.step("incrementalAlterConfigs: append", () -> admin.incrementalAlterConfigs(
                change(OpType.APPEND, "cleanup.policy", "compact")));
        program.step("incrementalAlterConfigs: subtract", () -> admin.incrementalAlterConfigs(
                change(OpType.SUBTRACT, "cleanup.policy", "compact")));
        program.step("incrementalAlterConfigs: delete", () -> admin.incrementalAlterConfigs(
                change(OpType.DELETE, "retention.ms", "")));
        program.step("incrementalAlterConfigs: append to a number", () -> admin.incrementalAlterConfigs(
                change(OpType.APPEND, "retention.ms", "1")));
        program.step("incrementalAlterConfigs: no value", () -> admin.incrementalAlterConfigs(
                change(OpType.SET, "retention.bytes", "many")));
        program.step("incrementalAlterConfigs: no name", () -> admin.incrementalAlterConfigs(
                change(OpType.SET, "no.such", "1")));
        program.step("incrementalAlterConfigs: only looked at", () -> admin.incrementalAlterConfigs(
                change(OpType.SET, "retention.bytes", "5"),
                new AlterConfigsOptions().validateOnly(true)));
        AdminProgram.until(() -> "604800000".equals(admin.describeConfigs(List.of(resource()))
                .all().get().get(resource()).get("retention.ms").value()));
        program.step("describeConfigs: what is set", () -> admin.describeConfigs(List.of(resource()))
                .all().get().get(resource()).entries().stream()
                .filter(entry -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
                .map(entry -> entry.name() + "=" + entry.value()).sorted().toList());
    }

    private void partitions() throws Exception {
        // What all of them say together is the first error in the order of a map, which Map.of
        // draws anew in each process.
        Map<String, NewPartitions> grown = new LinkedHashMap<>();
        grown.put(topic, NewPartitions.increaseTo(3));
        grown.put(topic + "-placed", NewPartitions.increaseTo(1));
        grown.put(topic + "-missing", NewPartitions.increaseTo(3));
        program.step("createPartitions", () -> admin.createPartitions(grown));
        AdminProgram.until(() -> admin.describeTopics(List.of(topic)).allTopicNames().get()
                .get(topic).partitions().size() == 3);
        program.step("createPartitions: placed", () -> admin.createPartitions(Map.of(
                topic + "-default", NewPartitions.increaseTo(3, List.of(List.of(1), List.of(1))))));
        program.step("createPartitions: only looked at", () -> admin.createPartitions(
                Map.of(topic, NewPartitions.increaseTo(9)),
                new CreatePartitionsOptions().validateOnly(true)));
        TopicPartition first = new TopicPartition(topic, 0);
        TopicPartition none = new TopicPartition(topic, 77);
        program.step("electLeaders", () -> admin.electLeaders(
                ElectionType.PREFERRED, Set.of(first, none)).partitions());
        program.step("electLeaders: unclean", () -> admin.electLeaders(
                ElectionType.UNCLEAN, Set.of(first)).partitions());
        program.step("alterPartitionReassignments", () -> admin.alterPartitionReassignments(Map.of(
                first, Optional.of(new NewPartitionReassignment(List.of(1))),
                none, Optional.of(new NewPartitionReassignment(List.of(1))))));
        program.step("alterPartitionReassignments: nowhere", () -> admin.alterPartitionReassignments(
                Map.of(first, Optional.of(new NewPartitionReassignment(List.of(77))))));
        program.step("alterPartitionReassignments: cancel", () -> admin.alterPartitionReassignments(
                Map.of(first, Optional.empty())));
        program.step("listPartitionReassignments", () -> admin.listPartitionReassignments());
        program.step("listPartitionReassignments: of some", () ->
                admin.listPartitionReassignments(Set.of(first)));
    }

    private void offsets() throws Exception {
        TopicPartition first = new TopicPartition(topic, 0);
        Producing.records(program, admin, topic);
        program.step("listOffsets", () -> List.of(
                admin.listOffsets(Map.of(first, OffsetSpec.earliest())).all(),
                admin.listOffsets(Map.of(first, OffsetSpec.latest())).all(),
                admin.listOffsets(Map.of(first, OffsetSpec.maxTimestamp())).all(),
                admin.listOffsets(Map.of(first, OffsetSpec.forTimestamp(Producing.TIME_MS + 1))).all(),
                admin.listOffsets(Map.of(first, OffsetSpec.forTimestamp(Long.MAX_VALUE))).all()));
        program.step("listOffsets: tiers", () ->
                admin.listOffsets(Map.of(first, OffsetSpec.earliestLocal())).all());
        program.step("listOffsets: tiered", () ->
                admin.listOffsets(Map.of(first, OffsetSpec.latestTiered())).all());
        program.step("listOffsets: a missing partition", () ->
                impatient.listOffsets(Map.of(new TopicPartition(topic, 77), OffsetSpec.latest())).all());
        program.step("deleteRecords", () -> admin.deleteRecords(Map.of(
                first, RecordsToDelete.beforeOffset(2))));
        program.step("deleteRecords: too far", () -> admin.deleteRecords(Map.of(
                first, RecordsToDelete.beforeOffset(1000))));
        program.step("deleteRecords: a missing topic", () -> impatient.deleteRecords(Map.of(
                new TopicPartition(topic + "-missing", 0), RecordsToDelete.beforeOffset(1))));
        program.step("describeProducers", () -> admin.describeProducers(List.of(first)).all());
        program.step("describeProducers: a missing partition", () ->
                impatient.describeProducers(List.of(new TopicPartition(topic, 77))).all());
        program.step("describeLogDirs", () -> {
            var found = admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1);
            var replicas = found.values().iterator().next().replicaInfos();
            return List.of(found.size(), replicas.get(first).offsetLag(), replicas.get(first).isFuture());
        });
        program.step("describeLogDirs: a missing broker", () -> impatient.describeLogDirs(List.of(77)));
        TopicPartitionReplica replica = new TopicPartitionReplica(topic, 0, 1);
        program.step("describeReplicaLogDirs", () -> {
            var found = admin.describeReplicaLogDirs(List.of(replica)).all().get().get(replica);
            return Arrays.asList(
                    found.getCurrentReplicaLogDir() != null,
                    found.getCurrentReplicaOffsetLag(),
                    found.getFutureReplicaLogDir());
        });
        program.step("alterReplicaLogDirs", () ->
                admin.alterReplicaLogDirs(Map.of(replica, "/no/such/folder")));
    }

    void delete() throws Exception {
        program.step("deleteTopics", () -> admin.deleteTopics(
                List.of(topic, topic + "-default", topic + "-placed", topic + "-missing")));
        program.step("deleteTopics: by id", () -> {
            String name = topic + "-made";
            var id = admin.describeTopics(List.of(name)).allTopicNames().get().get(name).topicId();
            return admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id)));
        });
    }
}
