import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** What tests ask of every client's admin interface; a new client each time. */
final class Administration {
    private final String bootstrap;

    Administration(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    Object call(String operation, JsonNode arguments) throws Exception {
        try (Admin client = Admin.create(Wire.settings(bootstrap, null))) {
            switch (operation) {
                case "create_topics" -> createTopics(client, arguments);
                case "delete_topics" -> {
                    List<String> names = new ArrayList<>();
                    arguments.get("topics").forEach(name -> names.add(name.asText()));
                    client.deleteTopics(names).all().get();
                }
                case "delete_records" -> {
                    return deleteRecords(client, arguments);
                }
                case "create_partitions" -> {
                    var wanted = NewPartitions.increaseTo(arguments.get("count").asInt());
                    client.createPartitions(Map.of(arguments.get("topic").asText(), wanted)).all().get();
                }
                case "alter_configs" -> alterConfigs(client, arguments);
                case "topic_configs" -> {
                    return topicConfigs(client, arguments.get("topic").asText());
                }
                case "list_topics" -> {
                    return listTopics(client);
                }
                case "list_groups" -> {
                    return listGroups(client);
                }
                case "describe_group" -> {
                    return describeGroup(client, arguments.get("group").asText());
                }
                case "delete_group" ->
                    client.deleteConsumerGroups(List.of(arguments.get("group").asText())).all().get();
                default -> throw new IllegalArgumentException("no operation " + operation);
            }
        }
        return null;
    }

    private static void createTopics(Admin client, JsonNode arguments) throws Exception {
        Map<String, String> configs = Wire.texts(arguments.get("configs"));
        List<NewTopic> topics = new ArrayList<>();
        for (JsonNode topic : arguments.get("topics")) {
            topics.add(new NewTopic(topic.get(0).asText(), topic.get(1).asInt(), (short) 1).configs(configs));
        }
        client.createTopics(topics).all().get();
    }

    private static long deleteRecords(Admin client, JsonNode arguments) throws Exception {
        TopicPartition partition =
                new TopicPartition(arguments.get("topic").asText(), arguments.get("partition").asInt());
        var before = RecordsToDelete.beforeOffset(arguments.get("before").asLong());
        var done = client.deleteRecords(Map.of(partition, before));
        return done.lowWatermarks().get(partition).get().lowWatermark();
    }

    private static void alterConfigs(Admin client, JsonNode arguments) throws Exception {
        Collection<AlterConfigOp> changes = new ArrayList<>();
        Wire.texts(arguments.get("configs")).forEach((name, value) ->
                changes.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, arguments.get("topic").asText());
        client.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
    }

    /** What the topic has been given itself. */
    private static Map<String, String> topicConfigs(Admin client, String topic) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Map<String, String> own = new HashMap<>();
        for (ConfigEntry entry :
                client.describeConfigs(List.of(resource)).all().get().get(resource).entries()) {
            if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
                own.put(entry.name(), entry.value());
            }
        }
        return own;
    }

    private static Map<String, Integer> listTopics(Admin client) throws Exception {
        var names = client.listTopics().names().get();
        Map<String, Integer> counts = new HashMap<>();
        client.describeTopics(names).allTopicNames().get().forEach(
                (name, description) -> counts.put(name, description.partitions().size()));
        return counts;
    }

    private static List<String> listGroups(Admin client) throws Exception {
        List<String> names = new ArrayList<>();
        client.listConsumerGroups().all().get().forEach(group -> names.add(group.groupId()));
        return names;
    }

    /** By the older name of its state, which every version has. */
    private static Map<String, Object> describeGroup(Admin client, String group) throws Exception {
        var found = client.describeConsumerGroups(List.of(group)).all().get().get(group);
        return Map.of("state", found.state().toString(), "members_count", found.members().size());
    }
}
