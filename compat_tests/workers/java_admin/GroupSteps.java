import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeConsumerGroupsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A group with one static member: shown while it lives, and emptied and deleted after it. */
final class GroupSteps {
    private final AdminProgram program;
    private final Admin admin;
    private final String bootstrap;
    private final String topic;
    private final String group;
    private final String missing;

    GroupSteps(AdminProgram program, Admin admin, String bootstrap, String name) {
        this.program = program;
        this.admin = admin;
        this.bootstrap = bootstrap;
        topic = name;
        group = name + "-group";
        missing = name + "-no-group";
    }

    void run() throws Exception {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", bootstrap,
                "group.id", group,
                "group.instance.id", "one",
                "client.id", "member",
                "auto.offset.reset", "earliest");
        var text = new StringDeserializer();
        try (var member = new KafkaConsumer<>(settings, text, text)) {
            program.step("a member", () -> {
                member.subscribe(List.of(topic));
                while (member.assignment().isEmpty()) {
                    member.poll(Duration.ofMillis(100));
                }
                member.commitSync(Map.of(
                        new TopicPartition(topic, 0), new OffsetAndMetadata(2, "noted"),
                        new TopicPartition(topic, 1), new OffsetAndMetadata(0)));
                return member.assignment();
            });
            whileItLives();
        }
        afterIt();
    }

    private Object mine(ListGroupsOptions options) throws Exception {
        return admin.listGroups(options).all().get().stream()
                .filter(found -> found.groupId().startsWith(group)).toList();
    }

    private void whileItLives() throws Exception {
        program.step("listGroups", () -> mine(new ListGroupsOptions()));
        program.step("listGroups: of consumers", () -> mine(ListGroupsOptions.forConsumerGroups()));
        program.step("listGroups: stable", () ->
                mine(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))));
        program.step("listGroups: of a type", () ->
                mine(new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC))));
        program.step("listGroups: of another type", () ->
                mine(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))));
        program.step("listConsumerGroups", () -> admin.listConsumerGroups().all().get().stream()
                .filter(found -> found.groupId().startsWith(group)).toList());
        program.step("describeConsumerGroups", () -> admin.describeConsumerGroups(
                List.of(group, missing)).describedGroups());
        program.step("describeConsumerGroups: with permissions", () -> admin.describeConsumerGroups(
                List.of(group),
                new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true)).all());
        program.step("describeClassicGroups", () -> admin.describeClassicGroups(
                List.of(group, missing)).describedGroups());
        program.step("listConsumerGroupOffsets", () -> admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata());
        program.step("listConsumerGroupOffsets: stable", () -> admin.listConsumerGroupOffsets(
                group, new ListConsumerGroupOffsetsOptions().requireStable(true))
                .partitionsToOffsetAndMetadata());
        program.step("listConsumerGroupOffsets: of some", () -> admin.listConsumerGroupOffsets(Map.of(
                group, new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(
                        new TopicPartition(topic, 0), new TopicPartition(topic, 77))),
                missing, new ListConsumerGroupOffsetsSpec())).all());
        program.step("alterConsumerGroupOffsets: in use", () -> admin.alterConsumerGroupOffsets(
                group, Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1))).all());
        program.step("deleteConsumerGroupOffsets: in use", () -> admin.deleteConsumerGroupOffsets(
                group, Set.of(new TopicPartition(topic, 0))).all());
        program.step("deleteConsumerGroups: in use", () ->
                admin.deleteConsumerGroups(List.of(group)).deletedGroups());
        program.step("removeMembersFromConsumerGroup: a stranger", () ->
                admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(
                        Set.of(new MemberToRemove("two")))).all());
        program.step("removeMembersFromConsumerGroup", () ->
                admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(
                        Set.of(new MemberToRemove("one")))).all());
        program.step("removeMembersFromConsumerGroup: all of none", () ->
                admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions())
                        .all());
    }

    private void afterIt() throws Exception {
        program.step("describeConsumerGroups: empty", () ->
                admin.describeConsumerGroups(List.of(group)).all());
        program.step("alterConsumerGroupOffsets", () -> admin.alterConsumerGroupOffsets(group, Map.of(
                new TopicPartition(topic, 0), new OffsetAndMetadata(1, "moved"),
                new TopicPartition(topic + "-missing", 0), new OffsetAndMetadata(1))).all());
        program.step("listConsumerGroupOffsets: moved", () -> admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata());
        program.step("deleteConsumerGroupOffsets", () -> admin.deleteConsumerGroupOffsets(
                group, Set.of(new TopicPartition(topic, 1))).all());
        program.step("deleteConsumerGroupOffsets: of no group", () -> admin.deleteConsumerGroupOffsets(
                missing, Set.of(new TopicPartition(topic, 1))).all());
        program.step("listConsumerGroupOffsets: less", () -> admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata());
        program.step("deleteConsumerGroups", () ->
                admin.deleteConsumerGroups(List.of(group, missing)).deletedGroups());
        program.step("listGroups: none left", () -> mine(new ListGroupsOptions()));
    }
}
