import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.protocol.Errors;

/**
 * Apache Kafka's Java clients behind the neutral interface of workers/rpc.py: one JSON line in, one
 * out, in order. What a library prints goes to stderr, so that it cannot break a line.
 */
public final class Worker {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Producers producers;
    private final Consumers consumers;
    private final Administration administration;
    private Tools tools;

    private Worker(String bootstrap) {
        producers = new Producers(bootstrap);
        consumers = new Consumers(bootstrap);
        administration = new Administration(bootstrap);
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Worker worker = new Worker(arguments[0]);
        var requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = requests.readLine()) != null; ) {
            JsonNode request = JSON.readTree(line);
            ObjectNode answer = JSON.createObjectNode().set("id", request.get("id"));
            try {
                Object result = worker.call(request.get("op").asText(), request.get("args"));
                answer.set("result", JSON.valueToTree(result));
            } catch (Exception error) {
                answer.set("error", JSON.valueToTree(describe(error)));
            }
            answers.println(JSON.writeValueAsString(answer));
            answers.flush();
        }
        System.exit(0); // clients that were left open keep threads that would hold us
    }

    private Object call(String operation, JsonNode arguments) throws Exception {
        if (operation.equals("info")) {
            return Map.of("library", "kafka-clients " + version());
        }
        if (operation.equals("tool")) {
            tools = tools == null ? new Tools() : tools;
            return tools.run(arguments);
        }
        if (arguments.has("producer") || operation.equals("producer_open")) {
            return producers.call(operation, arguments);
        }
        if (arguments.has("consumer") || operation.equals("consumer_open")) {
            return consumers.call(operation, arguments);
        }
        return administration.call(operation, arguments);
    }

    private static String version() throws Exception {
        Properties about = new Properties();
        try (var file = Worker.class.getResourceAsStream("/kafka/kafka-version.properties")) {
            about.load(file);
        }
        return about.getProperty("version");
    }

    /** Kafka's code where the client names one, and none where it found the fault itself. */
    static Map<String, Object> describe(Throwable error) {
        while ((error instanceof ExecutionException || error instanceof CompletionException)
                && error.getCause() != null) {
            error = error.getCause();
        }
        ObjectNode told = JSON.createObjectNode();
        Errors known = error instanceof ApiException ? Errors.forException(error) : null;
        told.put("code", known == null || known == Errors.UNKNOWN_SERVER_ERROR ? null : known.code());
        told.put("name", error.getClass().getSimpleName());
        told.put("text", String.valueOf(error.getMessage()));
        return JSON.convertValue(told, Wire.FIELDS);
    }
}
