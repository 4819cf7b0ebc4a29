import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** How records, partitions and settings look in a JSON line. */
final class Wire {
    static final TypeReference<Map<String, Object>> FIELDS = new TypeReference<>() {};

    private Wire() {}

    static byte[] bytes(JsonNode node) {
        return node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    static String text(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    static boolean given(JsonNode arguments, String name) {
        return arguments.hasNonNull(name);
    }

    /** Settings under Kafka's names, or with an underscore for each dot. */
    static Properties settings(String bootstrap, JsonNode extra) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        if (extra != null && !extra.isNull()) {
            extra.fields().forEachRemaining(
                    field -> settings.put(field.getKey().replace('_', '.'), field.getValue().asText()));
        }
        return settings;
    }

    static Map<String, String> texts(JsonNode node) {
        Map<String, String> found = new LinkedHashMap<>();
        if (node != null && !node.isNull()) {
            node.fields().forEachRemaining(field -> found.put(field.getKey(), field.getValue().asText()));
        }
        return found;
    }

    static TopicPartition partition(JsonNode pair) {
        return new TopicPartition(pair.get(0).asText(), pair.get(1).asInt());
    }

    static List<Object> pair(TopicPartition partition) {
        return List.of(partition.topic(), partition.partition());
    }

    static ProducerRecord<byte[], byte[]> produced(JsonNode wire) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : wire.get("headers")) {
            headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
        }
        return new ProducerRecord<>(
                wire.get("topic").asText(),
                given(wire, "partition") ? (Integer) wire.get("partition").asInt() : null,
                given(wire, "timestamp_ms") ? (Long) wire.get("timestamp_ms").asLong() : null,
                bytes(wire.get("key")),
                bytes(wire.get("value")),
                headers);
    }

    static Map<String, Object> consumed(ConsumerRecord<byte[], byte[]> record) {
        List<List<String>> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(Arrays.asList(header.key(), text(header.value())));
        }
        Map<String, Object> wire = new LinkedHashMap<>();
        wire.put("topic", record.topic());
        wire.put("partition", record.partition());
        wire.put("offset", record.offset());
        wire.put("timestamp_ms", record.timestamp());
        wire.put("key", text(record.key()));
        wire.put("value", text(record.value()));
        wire.put("headers", headers);
        return wire;
    }
}
