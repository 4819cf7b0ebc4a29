import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Kafka's command line tools, one after the other in this process: a start of Java each would take
 * longer than what they do. Exit status and output are as they would be in a process of their own.
 */
final class Tools {
    /** Where output goes now; libraries keep the stream that they found when they were loaded. */
    private static final class Switch extends OutputStream {
        private OutputStream target;

        Switch(OutputStream target) {
            this.target = target;
        }

        @Override
        public void write(int octet) throws java.io.IOException {
            target.write(octet);
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws java.io.IOException {
            target.write(bytes, from, length);
        }

        @Override
        public void flush() throws java.io.IOException {
            target.flush();
        }
    }

    private static final class Exited extends RuntimeException {
        private static final long serialVersionUID = 1;
        private final int status;

        Exited(int status) {
            super("exit " + status, null, false, false);
            this.status = status;
        }
    }

    private final PrintStream realError = System.err;
    private final Switch out = new Switch(realError);
    private final Switch err = new Switch(realError);

    Tools() throws ReflectiveOperationException {
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        Class<?> exit = exitOfKafka();
        Class<?> procedure = Class.forName(exit.getName() + "$Procedure");
        Object leave = Proxy.newProxyInstance(
                exit.getClassLoader(),
                new Class<?>[] {procedure},
                (proxy, method, arguments) -> {
                    if (arguments[1] != null) {
                        System.err.println(arguments[1]);
                    }
                    throw new Exited((Integer) arguments[0]);
                });
        exit.getMethod("setExitProcedure", procedure).invoke(null, leave);
        exit.getMethod("setHaltProcedure", procedure).invoke(null, leave);
    }

    /** What tools call to end their process; it has moved in Kafka 4.4. */
    private static Class<?> exitOfKafka() throws ClassNotFoundException {
        try {
            return Class.forName("org.apache.kafka.common.utils.Exit");
        } catch (ClassNotFoundException moved) {
            return Class.forName("org.apache.kafka.common.utils.internals.Exit");
        }
    }

    Map<String, Object> run(JsonNode arguments) throws Exception {
        List<String> words = new ArrayList<>();
        arguments.get("arguments").forEach(word -> words.add(word.asText()));
        var outBytes = new ByteArrayOutputStream();
        var errBytes = new ByteArrayOutputStream();
        InputStream realIn = System.in;
        System.setIn(new ByteArrayInputStream(
                arguments.get("stdin").asText().getBytes(StandardCharsets.UTF_8)));
        out.target = outBytes;
        err.target = errBytes;
        int status;
        try {
            status = main(arguments.get("main").asText(), words.toArray(String[]::new));
        } finally {
            System.out.flush();
            System.err.flush();
            out.target = realError;
            err.target = realError;
            System.setIn(realIn);
        }
        return Map.of(
                "status", status,
                "out", outBytes.toString(StandardCharsets.UTF_8),
                "err", errBytes.toString(StandardCharsets.UTF_8));
    }

    private static int main(String name, String[] words) throws Exception {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) words);
        } catch (InvocationTargetException wrapped) {
            if (wrapped.getCause() instanceof Exited exited) {
                return exited.status;
            }
            wrapped.getCause().printStackTrace(); // as a process that dies of it
            return 1;
        }
        return 0;
    }
}
