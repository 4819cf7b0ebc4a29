import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.Admin;

/** Which methods of the interface were called, whatever interface this Kafka's clients have. */
final class Called {
    /** It ends the program, and with it the list. */
    private static final String LAST = "close";

    private final Set<String> names = new TreeSet<>();

    Admin watched(Admin real) {
        return (Admin) Proxy.newProxyInstance(
                Admin.class.getClassLoader(),
                new Class<?>[] {Admin.class},
                (proxy, method, arguments) -> {
                    names.add(method.getName());
                    try {
                        return method.invoke(real, arguments);
                    } catch (InvocationTargetException wrapped) {
                        throw wrapped.getCause();
                    }
                });
    }

    List<String> missing() {
        return Arrays.stream(Admin.class.getMethods())
                .filter(method -> !Modifier.isStatic(method.getModifiers()))
                .map(Method::getName)
                .filter(name -> !names.contains(name) && !name.equals(LAST))
                .distinct()
                .sorted()
                .toList();
    }
}
