import java.io.FileWriter;
import java.io.IOException;
import java.time.Instant;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.leader.Participant;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.data.Stat;

/**
 * A Curator program in the queue of an election, as any Java service would stand there.
 *
 * <p>{@code Contender lead SERVERS PATH IDENTIFIER SECONDS FILE}: stands again and again, leads for SECONDS each time, and
 * appends to FILE one JSON line when its leader function begins and one just before it returns.
 *
 * <p>{@code Contender participants SERVERS PATH}: writes the identifiers of the queue to standard output, a line each.
 */
final class Contender extends LeaderSelectorListenerAdapter {
    private static final int SESSION_TIMEOUT_MS = 10_000;
    private static final int RETRY_MS = 100;

    private final String path;
    private final String identifier;
    private final long termMs;
    private final String file;

    private Contender(String path, String identifier, double seconds, String file) {
        this.path = path;
        this.identifier = identifier;
        this.termMs = (long) (seconds * 1000);
        this.file = file;
    }

    public static void main(String[] args) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.builder()
                .connectString(args[1])
                .sessionTimeoutMs(SESSION_TIMEOUT_MS)
                .connectionTimeoutMs(SESSION_TIMEOUT_MS)
                .retryPolicy(new RetryForever(RETRY_MS))
                .build();
        client.start();
        client.blockUntilConnected();
        if (args[0].equals("participants")) {
            LeaderSelector selector = new LeaderSelector(client, args[2], new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework unused) {}
            });
            for (Participant participant : selector.getParticipants()) {
                System.out.println(participant.getId());
            }
            client.close();
            return;
        }
        Contender contender = new Contender(args[2], args[3], Double.parseDouble(args[4]), args[5]);
        LeaderSelector selector = new LeaderSelector(client, args[2], contender);
        selector.setId(args[3]);
        selector.autoRequeue();
        selector.start();
        System.out.println("ready");
        new CountDownLatch(1).await();
    }

    /** The leader function. It is interrupted when the connection is in doubt. */
    @Override
    public void takeLeadership(CuratorFramework client) throws Exception {
        long token = token(client);
        note("begin", token);
        try {
            Thread.sleep(termMs);
        } finally {
            note("end", token);
        }
    }

    /** The transaction that made the node which this term stands on: the only one of this session. */
    private long token(CuratorFramework client) throws Exception {
        long session = client.getZookeeperClient().getZooKeeper().getSessionId();
        for (String child : client.getChildren().forPath(path)) {
            Stat stat = client.checkExists().forPath(path + "/" + child);
            if (stat != null && stat.getEphemeralOwner() == session) {
                return stat.getCzxid();
            }
        }
        throw new IllegalStateException("no node of this session");
    }

    private void note(String mark, long token) throws IOException {
        Instant now = Instant.now();
        String nanos = String.format(Locale.ROOT, "%d%09d", now.getEpochSecond(), now.getNano());
        try (FileWriter out = new FileWriter(file, true)) {
            out.write(String.format(
                    Locale.ROOT,
                    "{\"time_ns\":%s,\"who\":\"%s\",\"token\":%d,\"mark\":\"%s\"}%n",
                    nanos, identifier, token, mark));
        }
    }
}
