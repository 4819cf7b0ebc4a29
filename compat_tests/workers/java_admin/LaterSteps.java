import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListStreamsGroupOffsetsSpec;
import org.apache.kafka.clients.admin.RaftVoterEndpoint;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Security, transactions, the quorum, and groups of other kinds than the classic one. */
final class LaterSteps {
    private final AdminProgram program;
    private final Admin admin;
    private final String name;

    LaterSteps(AdminProgram program, Admin admin, String name) {
        this.program = program;
        this.admin = admin;
        this.name = name;
    }

    void run() throws Exception {
        security();
        transactions();
        controllers();
        shareGroups();
        streamsGroups();
    }

    private void security() throws Exception {
        var pattern = new ResourcePattern(ResourceType.TOPIC, name, PatternType.LITERAL);
        var entry = new AccessControlEntry("User:u", "*", AclOperation.READ, AclPermissionType.ALLOW);
        program.step("describeAcls", () -> admin.describeAcls(AclBindingFilter.ANY).values());
        program.step("createAcls", () -> admin.createAcls(List.of(new AclBinding(pattern, entry))).all());
        program.step("deleteAcls", () -> admin.deleteAcls(List.of(AclBindingFilter.ANY)).all());
        program.step("describeUserScramCredentials", () ->
                admin.describeUserScramCredentials(List.of(name)).all());
        program.step("alterUserScramCredentials", () -> admin.alterUserScramCredentials(List.of(
                new UserScramCredentialUpsertion(
                        name, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret"))).all());
        program.step("alterUserScramCredentials: away", () -> admin.alterUserScramCredentials(List.of(
                new UserScramCredentialDeletion(name, ScramMechanism.SCRAM_SHA_256))).all());
        program.step("createDelegationToken", () -> admin.createDelegationToken().delegationToken());
        program.step("renewDelegationToken", () ->
                admin.renewDelegationToken(new byte[] {1}).expiryTimestamp());
        program.step("expireDelegationToken", () ->
                admin.expireDelegationToken(new byte[] {1}).expiryTimestamp());
        program.step("describeDelegationToken", () ->
                admin.describeDelegationToken().delegationTokens());
    }

    private void transactions() throws Exception {
        program.step("describeTransactions", () -> admin.describeTransactions(List.of(name)).all());
        program.step("abortTransaction", () -> admin.abortTransaction(new AbortTransactionSpec(
                new TopicPartition(name, 0), 1, (short) 0, 0)).all());
        program.step("fenceProducers", () -> admin.fenceProducers(List.of(name)).all());
        program.step("forceTerminateTransaction", () ->
                admin.forceTerminateTransaction(name).result());
    }

    private void controllers() throws Exception {
        program.step("updateFeatures: none such", () -> admin.updateFeatures(
                Map.of("no.such", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)),
                new UpdateFeaturesOptions()).all());
        program.step("unregisterBroker", () -> admin.unregisterBroker(77).all());
        program.step("unregisterController", () -> admin.unregisterController(77).all());
        program.step("addRaftVoter", () -> admin.addRaftVoter(
                77, new Uuid(1, 2), Set.of(new RaftVoterEndpoint("CONTROLLER", "localhost", 1))).all());
        program.step("removeRaftVoter", () -> admin.removeRaftVoter(77, new Uuid(1, 2)).all());
        program.step("listClientMetricsResources", () -> admin.listClientMetricsResources().all());
        program.step("clientInstanceId", () -> admin.clientInstanceId(Duration.ofSeconds(2)));
    }

    private void shareGroups() throws Exception {
        TopicPartition partition = new TopicPartition(name, 0);
        program.step("describeShareGroups", () -> admin.describeShareGroups(List.of(name)).all());
        program.step("listShareGroupOffsets", () -> admin.listShareGroupOffsets(
                Map.of(name, new ListShareGroupOffsetsSpec())).all());
        program.step("alterShareGroupOffsets", () ->
                admin.alterShareGroupOffsets(name, Map.of(partition, 1L)).all());
        program.step("deleteShareGroupOffsets", () ->
                admin.deleteShareGroupOffsets(name, Set.of(name)).all());
        program.step("deleteShareGroups", () -> admin.deleteShareGroups(List.of(name)).all());
    }

    private void streamsGroups() throws Exception {
        TopicPartition partition = new TopicPartition(name, 0);
        program.step("describeStreamsGroups", () -> admin.describeStreamsGroups(List.of(name)).all());
        program.step("listStreamsGroupOffsets", () -> admin.listStreamsGroupOffsets(
                Map.of(name, new ListStreamsGroupOffsetsSpec())).all());
        program.step("alterStreamsGroupOffsets", () -> admin.alterStreamsGroupOffsets(
                name, Map.of(partition, new OffsetAndMetadata(1))).all());
        program.step("deleteStreamsGroupOffsets", () ->
                admin.deleteStreamsGroupOffsets(name, Set.of(partition)).all());
        program.step("deleteStreamsGroups", () -> admin.deleteStreamsGroups(List.of(name)).all());
    }
}
