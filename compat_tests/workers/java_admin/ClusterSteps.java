import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;

/** The cluster, its broker's settings, quotas, and what is asked of it as it is. */
final class ClusterSteps {
    private final AdminProgram program;
    private final Admin admin;
    private final Admin impatient;
    private final String name;

    ClusterSteps(AdminProgram program, Admin admin, Admin impatient, String name) {
        this.program = program;
        this.admin = admin;
        this.impatient = impatient;
        this.name = name;
    }

    void run() throws Exception {
        cluster();
        configs();
        quotas();
    }

    private void cluster() throws Exception {
        program.step("describeCluster", () -> {
            var found = admin.describeCluster();
            return List.of(found.nodes(), found.controller(), found.clusterId().get().length());
        });
        program.step("describeCluster: with permissions", () -> admin.describeCluster(
                new DescribeClusterOptions().includeAuthorizedOperations(true)).authorizedOperations());
        program.step("describeCluster: fenced ones, too", () -> admin.describeCluster(
                new DescribeClusterOptions().includeFencedBrokers(true)).nodes());
        program.step("describeFeatures", () -> admin.describeFeatures().featureMetadata());
        program.step("describeMetadataQuorum", () -> {
            var found = admin.describeMetadataQuorum().quorumInfo().get();
            return List.of(
                    found.leaderId() == admin.describeCluster().controller().get().id(),
                    found.voters().size(),
                    found.observers().size(),
                    found.highWatermark() >= 0);
        });
        program.step("listTransactions", () -> mine(new ListTransactionsOptions()));
        program.step("listTransactions: long ones", () ->
                mine(new ListTransactionsOptions().filterOnDuration(1)));
        program.step("listTransactions: by pattern", () ->
                mine(new ListTransactionsOptions().filterOnTransactionalIdPattern("a.*")));
        program.step("metrics", () -> admin.metrics().isEmpty());
        program.step("registerMetricForSubscription", () -> {
            KafkaMetric metric = (KafkaMetric) admin.metrics().values().iterator().next();
            admin.registerMetricForSubscription(metric);
            admin.unregisterMetricFromSubscription(metric);
            return true;
        });
    }

    private Object mine(ListTransactionsOptions options) throws Exception {
        return admin.listTransactions(options).all().get().stream()
                .filter(found -> found.transactionalId().startsWith(name)).toList();
    }

    private void configs() throws Exception {
        var broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        var everyBroker = new ConfigResource(ConfigResource.Type.BROKER, "");
        var logger = new ConfigResource(ConfigResource.Type.BROKER_LOGGER, "1");
        var group = new ConfigResource(ConfigResource.Type.GROUP, name + "-group");
        program.step("describeConfigs: some of the broker", () -> {
            var found = admin.describeConfigs(List.of(broker)).all().get().get(broker);
            return List.of("auto.create.topics.enable", "log.retention.hours", "num.partitions",
                    "compression.type", "offsets.topic.num.partitions", "node.id").stream()
                    .map(each -> found.get(each) == null ? each : List.of(
                            each, found.get(each).value(), found.get(each).type(),
                            found.get(each).isReadOnly(), found.get(each).isSensitive())).toList();
        });
        program.step("describeConfigs: all brokers", () ->
                admin.describeConfigs(List.of(everyBroker)).values());
        program.step("describeConfigs: another broker", () -> impatient.describeConfigs(
                List.of(new ConfigResource(ConfigResource.Type.BROKER, "77"))).all());
        program.step("incrementalAlterConfigs: one that cannot", () ->
                admin.incrementalAlterConfigs(set(broker, "node.id", "2")).all());
        program.step("incrementalAlterConfigs: one that is not one", () ->
                admin.incrementalAlterConfigs(set(broker, "log.retention.ms", "soon")).all());
        program.step("describeConfigs: a logger's levels", () -> !admin.describeConfigs(
                List.of(logger)).all().get().get(logger).entries().isEmpty());
        program.step("incrementalAlterConfigs: a level that is none", () ->
                admin.incrementalAlterConfigs(set(logger, "kafka", "LOUD")).all());
        program.step("describeConfigs: a group's", () ->
                admin.describeConfigs(List.of(group)).values());
        program.step("listConfigResources", () -> admin.listConfigResources().all());
    }

    private static Map<ConfigResource, Collection<AlterConfigOp>> set(
            ConfigResource resource, String name, String value) {
        return Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
    }

    private void quotas() throws Exception {
        var entity = new ClientQuotaEntity(Map.of(
                ClientQuotaEntity.USER, name, ClientQuotaEntity.CLIENT_ID, "c"));
        var mine = ClientQuotaFilter.contains(
                List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.USER, name)));
        program.step("describeClientQuotas: none", () -> admin.describeClientQuotas(mine).entities());
        program.step("alterClientQuotas", () -> admin.alterClientQuotas(List.of(
                new ClientQuotaAlteration(entity, List.of(
                        new ClientQuotaAlteration.Op("producer_byte_rate", 1e6),
                        new ClientQuotaAlteration.Op("request_percentage", 50.0))))).all());
        program.step("alterClientQuotas: no such quota", () -> admin.alterClientQuotas(List.of(
                new ClientQuotaAlteration(entity, List.of(
                        new ClientQuotaAlteration.Op("no_such_rate", 1.0))))).all());
        program.step("describeClientQuotas", () -> {
            AdminProgram.until(() -> !admin.describeClientQuotas(mine).entities().get().isEmpty());
            return admin.describeClientQuotas(mine).entities();
        });
        program.step("alterClientQuotas: away", () -> admin.alterClientQuotas(List.of(
                new ClientQuotaAlteration(entity, List.of(
                        new ClientQuotaAlteration.Op("producer_byte_rate", null),
                        new ClientQuotaAlteration.Op("request_percentage", null))))).all());
        program.step("describeClientQuotas: gone", () -> {
            AdminProgram.until(() -> admin.describeClientQuotas(mine).entities().get().isEmpty());
            return admin.describeClientQuotas(mine).entities();
        });
    }
}
