import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Named producers; they run with their defaults but for what a test asks for. */
final class Producers {
    private static final long SEND_TIMEOUT_S = 90;

    private final String bootstrap;
    private final Map<String, KafkaProducer<byte[], byte[]>> open = new HashMap<>();

    Producers(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    Object call(String operation, JsonNode arguments) throws Exception {
        switch (operation) {
            case "producer_open" -> open(arguments);
            case "producer_close" ->
                open.remove(arguments.get("producer").asText()).close(Duration.ofSeconds(30));
            case "produce" -> {
                return produce(open.get(arguments.get("producer").asText()), arguments.get("records"));
            }
            default -> throw new IllegalArgumentException("no operation " + operation);
        }
        return null;
    }

    private void open(JsonNode arguments) {
        Properties settings = Wire.settings(bootstrap, arguments.get("extra"));
        if (Wire.given(arguments, "codec")) {
            settings.put("compression.type", arguments.get("codec").asText());
        }
        if (Wire.given(arguments, "idempotent")) {
            settings.put("enable.idempotence", arguments.get("idempotent").asText());
        }
        if (Wire.given(arguments, "message_bytes_max")) {
            settings.put("max.request.size", arguments.get("message_bytes_max").asText());
        }
        var serializer = new ByteArraySerializer();
        open.put(arguments.get("name").asText(), new KafkaProducer<>(settings, serializer, serializer));
    }

    /** One outcome per record, in order; all are sent before the first is waited for. */
    private List<Map<String, Object>> produce(KafkaProducer<byte[], byte[]> producer, JsonNode records) {
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (JsonNode record : records) {
            futures.add(producer.send(Wire.produced(record)));
        }
        List<Map<String, Object>> outcomes = new ArrayList<>();
        for (Future<RecordMetadata> future : futures) {
            try {
                RecordMetadata done = future.get(SEND_TIMEOUT_S, TimeUnit.SECONDS);
                outcomes.add(Map.of(
                        "offset", done.offset(),
                        "partition", done.partition(),
                        "timestamp_ms", done.timestamp()));
            } catch (Exception error) {
                outcomes.add(Map.of("error", Worker.describe(error)));
            }
        }
        return outcomes;
    }
}
