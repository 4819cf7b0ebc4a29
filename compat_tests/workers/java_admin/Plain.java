import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;

/** Any answer of the admin interface as lists, maps and texts: whatever its methods tell. */
final class Plain {
    private static final long TIMEOUT_S = 40;
    private static final Set<String> NOT_ANSWERS =
            Set.of("hashCode", "toString", "getClass", "notify", "notifyAll", "wait", "clone");

    private Plain() {}

    static Object of(Object value) throws Exception {
        if (value == null || value instanceof Boolean || value instanceof Number) {
            return value;
        }
        if (value instanceof String || value instanceof TopicPartition || value instanceof ConfigResource) {
            return value.toString();
        }
        if (value instanceof Enum<?> word) {
            return word.name();
        }
        if (value instanceof Node node) {
            return "node " + node.id();
        }
        if (value instanceof Uuid id) {
            return id.equals(Uuid.ZERO_UUID) ? "no id" : "an id";
        }
        if (value instanceof byte[] bytes) {
            return bytes.length + " bytes";
        }
        if (value instanceof Throwable error) {
            return ofError(error);
        }
        if (value instanceof KafkaFuture<?> future) {
            return ofFuture(future);
        }
        return ofMany(value);
    }

    static Map<String, Object> ofError(Throwable error) {
        return Map.of("error", error.getClass().getSimpleName());
    }

    private static Object ofFuture(KafkaFuture<?> future) throws Exception {
        try {
            return of(future.get(TIMEOUT_S, TimeUnit.SECONDS));
        } catch (ExecutionException wrapped) {
            return ofError(wrapped.getCause());
        }
    }

    private static Object ofMany(Object value) throws Exception {
        if (value instanceof Config config) {
            return of(config.entries().stream().collect(
                    Collectors.toMap(ConfigEntry::name, entry -> entry)));
        }
        if (value instanceof Optional<?> maybe) {
            return of(maybe.orElse(null));
        }
        if (value instanceof OptionalLong maybe) {
            return maybe.isPresent() ? maybe.getAsLong() : null;
        }
        if (value instanceof OptionalInt maybe) {
            return maybe.isPresent() ? maybe.getAsInt() : null;
        }
        if (value instanceof Map<?, ?> map) {
            Map<String, Object> found = new TreeMap<>();
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                found.put(String.valueOf(of(entry.getKey())), of(entry.getValue()));
            }
            return found;
        }
        if (value instanceof Collection<?> items) {
            List<Object> found = new ArrayList<>();
            for (Object item : items) {
                found.add(of(item));
            }
            if (!(value instanceof List)) {
                found.sort((one, two) -> one.toString().compareTo(two.toString()));
            }
            return found;
        }
        if (!value.getClass().getName().startsWith("org.apache.kafka.")) {
            return value.toString();
        }
        return ofMethods(value);
    }

    /** What each public method without arguments says. */
    private static Map<String, Object> ofMethods(Object value) throws Exception {
        Map<String, Object> found = new TreeMap<>();
        for (Method method : value.getClass().getMethods()) {
            if (method.getParameterCount() > 0
                    || method.getReturnType() == void.class
                    || Modifier.isStatic(method.getModifiers())
                    || NOT_ANSWERS.contains(method.getName())) {
                continue;
            }
            method.setAccessible(true);
            found.put(method.getName(), of(method.invoke(value)));
        }
        return found;
    }
}
