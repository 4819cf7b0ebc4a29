import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Records for those steps that ask about them. */
final class Producing {
    static final long TIME_MS = System.currentTimeMillis() - 3_600_000;

    private Producing() {}

    /** Five to the first partition, a second apart. */
    static void records(AdminProgram program, Admin admin, String topic) throws Exception {
        program.step("five records", () -> {
            var node = admin.describeCluster().nodes().get().iterator().next();
            Map<String, Object> settings = Map.of("bootstrap.servers", node.host() + ":" + node.port());
            var text = new StringSerializer();
            try (var producer = new KafkaProducer<>(settings, text, text)) {
                long last = -1;
                for (int number = 0; number < 5; number++) {
                    var record = new ProducerRecord<>(
                            topic, 0, TIME_MS + 1000L * number, "key", "value " + number);
                    last = producer.send(record).get().offset();
                }
                return last;
            }
        });
    }
}
