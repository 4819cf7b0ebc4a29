import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Named consumers; they run with their defaults but for what a test asks for. */
final class Consumers {
    private final String bootstrap;
    private final Map<String, Member> open = new HashMap<>();

    Consumers(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    /** A consumer, and what its rebalances did: pairs of a word and partitions. */
    private record Member(KafkaConsumer<byte[], byte[]> client, List<List<Object>> events)
            implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            note("revoked", partitions);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            note("assigned", partitions);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            note("lost", partitions);
        }

        private void note(String word, Collection<TopicPartition> partitions) {
            events.add(List.of(word, partitions.stream().map(Wire::pair).toList()));
        }
    }

    Object call(String operation, JsonNode arguments) {
        if (operation.equals("consumer_open")) {
            open(arguments);
            return null;
        }
        String name = arguments.get("consumer").asText();
        if (operation.equals("consumer_close")) {
            open.remove(name).client.close();
            return null;
        }
        return call(operation, open.get(name), arguments);
    }

    private void open(JsonNode arguments) {
        Properties settings = Wire.settings(bootstrap, arguments.get("extra"));
        if (Wire.given(arguments, "group")) {
            settings.put("group.id", arguments.get("group").asText());
        }
        if (Wire.given(arguments, "start")) {
            settings.put("auto.offset.reset", arguments.get("start").asText());
        }
        if (Wire.given(arguments, "auto_commit")) {
            settings.put("enable.auto.commit", arguments.get("auto_commit").asText());
        }
        var deserializer = new ByteArrayDeserializer();
        var client = new KafkaConsumer<>(settings, deserializer, deserializer);
        open.put(arguments.get("name").asText(), new Member(client, new ArrayList<>()));
    }

    private Object call(String operation, Member member, JsonNode arguments) {
        KafkaConsumer<byte[], byte[]> client = member.client;
        switch (operation) {
            case "subscribe" -> {
                List<String> topics = new ArrayList<>();
                arguments.get("topics").forEach(topic -> topics.add(topic.asText()));
                client.subscribe(topics, member);
            }
            case "assign" -> assign(client, arguments.get("positions"));
            case "seek" ->
                client.seek(
                        new TopicPartition(
                                arguments.get("topic").asText(), arguments.get("partition").asInt()),
                        arguments.get("offset").asLong());
            case "poll" -> {
                return poll(client, arguments.get("count").asInt(), arguments.get("timeout_s").asDouble());
            }
            case "assignment" -> {
                return client.assignment().stream().map(Wire::pair).toList();
            }
            case "rebalances" -> {
                return List.copyOf(member.events);
            }
            case "rebalances_count" -> {
                return member.events.size();
            }
            case "commit" -> commit(client, arguments);
            case "committed" -> {
                return committed(client, arguments.get("partitions"));
            }
            case "offsets_for_times" -> {
                return offsetsForTimes(client, arguments.get("times"));
            }
            case "watermarks" -> {
                TopicPartition partition = new TopicPartition(
                        arguments.get("topic").asText(), arguments.get("partition").asInt());
                Set<TopicPartition> asked = Set.of(partition);
                return List.of(
                        client.beginningOffsets(asked).get(partition),
                        client.endOffsets(asked).get(partition));
            }
            default -> throw new IllegalArgumentException("no operation " + operation);
        }
        return null;
    }

    private static void assign(KafkaConsumer<byte[], byte[]> client, JsonNode positions) {
        List<TopicPartition> partitions = new ArrayList<>();
        positions.forEach(position -> partitions.add(Wire.partition(position)));
        client.assign(partitions);
        for (JsonNode position : positions) {
            TopicPartition partition = Wire.partition(position);
            switch (position.get(2).asText()) {
                case "beginning" -> client.seekToBeginning(List.of(partition));
                case "end" -> {
                    client.seekToEnd(List.of(partition));
                    client.position(partition);
                }
                default -> client.seek(partition, position.get(2).asLong());
            }
        }
    }

    /** No more than so many: what a poll brought beyond them is read again the next time. */
    private static List<Map<String, Object>> poll(
            KafkaConsumer<byte[], byte[]> client, int count, double timeoutSeconds) {
        long end = System.nanoTime() + (long) (timeoutSeconds * 1e9);
        List<Map<String, Object>> seen = new ArrayList<>();
        while (seen.size() < count) {
            long left = end - System.nanoTime();
            if (left <= 0) {
                break;
            }
            Map<TopicPartition, Long> surplus = new HashMap<>();
            for (ConsumerRecord<byte[], byte[]> record :
                    client.poll(Duration.ofNanos(Math.min(left, 200_000_000L)))) {
                if (seen.size() < count) {
                    seen.add(Wire.consumed(record));
                } else {
                    surplus.putIfAbsent(
                            new TopicPartition(record.topic(), record.partition()), record.offset());
                }
            }
            surplus.forEach(client::seek);
        }
        return seen;
    }

    private static void commit(KafkaConsumer<byte[], byte[]> client, JsonNode arguments) {
        if (!Wire.given(arguments, "positions")) {
            client.commitSync();
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (JsonNode position : arguments.get("positions")) {
            offsets.put(Wire.partition(position), new OffsetAndMetadata(position.get(2).asLong()));
        }
        client.commitSync(offsets);
    }

    private static List<Long> committed(KafkaConsumer<byte[], byte[]> client, JsonNode partitions) {
        List<Long> offsets = new ArrayList<>();
        for (JsonNode pair : partitions) {
            TopicPartition partition = Wire.partition(pair);
            OffsetAndMetadata found = client.committed(Set.of(partition)).get(partition);
            offsets.add(found == null ? null : found.offset());
        }
        return offsets;
    }

    private static List<Long> offsetsForTimes(KafkaConsumer<byte[], byte[]> client, JsonNode times) {
        Map<TopicPartition, Long> asked = new LinkedHashMap<>();
        for (JsonNode time : times) {
            asked.put(Wire.partition(time), time.get(2).asLong());
        }
        Map<TopicPartition, OffsetAndTimestamp> found = client.offsetsForTimes(asked);
        List<Long> offsets = new ArrayList<>();
        for (TopicPartition partition : asked.keySet()) {
            OffsetAndTimestamp at = found.getOrDefault(partition, null);
            offsets.add(at == null ? null : at.offset());
        }
        return Collections.unmodifiableList(offsets);
    }
}
