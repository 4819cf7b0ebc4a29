import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.admin.Admin;

/**
 * Every method of Java's admin interface, one step after the other; a JSON line for each. The first
 * argument is an address, the second the beginning of all names. What is asked again until time is
 * up, since its subject may yet come into being, is asked by an impatient client.
 */
public final class AdminProgram {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final PrintStream out;

    private AdminProgram(PrintStream out) {
        this.out = out;
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("request.timeout.ms", "10000");
        settings.put("default.api.timeout.ms", "20000");
        Properties hurried = new Properties();
        hurried.putAll(settings);
        hurried.put("request.timeout.ms", "1500");
        hurried.put("default.api.timeout.ms", "1500");
        AdminProgram program = new AdminProgram(out);
        Called called = new Called();
        try (Admin admin = called.watched(Admin.create(settings));
                Admin impatient = called.watched(Admin.create(hurried))) {
            TopicSteps topics = new TopicSteps(program, admin, impatient, arguments[1]);
            topics.run();
            new GroupSteps(program, admin, arguments[0], arguments[1]).run();
            new ClusterSteps(program, admin, impatient, arguments[1]).run();
            new LaterSteps(program, admin, arguments[1]).run();
            topics.delete();
            program.step("methods that no step called", () -> called.missing());
        }
        System.exit(0);
    }

    /** A cluster hears of what its controller has done a moment later. */
    static void until(Callable<Boolean> there) throws Exception {
        long end = System.nanoTime() + 20_000_000_000L;
        while (!there.call()) {
            if (System.nanoTime() > end) {
                throw new IllegalStateException("what was done does not show");
            }
            Thread.sleep(20);
        }
    }

    /** A call, and what came of it: an answer, or the name of an error. */
    void step(String name, Callable<Object> call) throws Exception {
        Object found;
        try {
            found = Plain.of(call.call());
        } catch (Exception error) {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            found = Plain.ofError(cause);
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("step", name);
        line.put("found", found);
        out.println(JSON.writeValueAsString(line));
    }
}
