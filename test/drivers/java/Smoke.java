// The smoke program for the Java driver; package drivers says what such a program does.

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.neo4j.driver.AccessMode;
import org.neo4j.driver.AuthTokens;
import org.neo4j.driver.Config;
import org.neo4j.driver.Driver;
import org.neo4j.driver.GraphDatabase;
import org.neo4j.driver.Result;
import org.neo4j.driver.Session;
import org.neo4j.driver.SessionConfig;
import org.neo4j.driver.SimpleQueryRunner;
import org.neo4j.driver.Transaction;
import org.neo4j.driver.exceptions.Neo4jException;

public class Smoke {
    static final String CREATE = "CREATE (s:Smoke {mark: $mark})";
    static final String COUNT = "MATCH (s:Smoke {mark: $mark}) RETURN count(s)";

    final Driver driver;
    final Map<String, Object> mark;
    boolean ok = true;

    Smoke(Driver driver, String mark) {
        this.driver = driver;
        this.mark = Map.of("mark", mark);
    }

    public static void main(String[] argv) {
        Map<String, String> args = new HashMap<>();
        for (int i = 0; i + 1 < argv.length; i += 2) {
            args.put(argv[i].replaceFirst("^-+", ""), argv[i + 1]);
        }
        Config config = Config.builder()
                .withConnectionTimeout(5, TimeUnit.SECONDS)
                .withConnectionAcquisitionTimeout(10, TimeUnit.SECONDS)
                .withMaxTransactionRetryTime(10, TimeUnit.SECONDS)
                .build();
        boolean ok;
        try (Driver driver = GraphDatabase.driver(args.get("uri"), AuthTokens.basic(args.get("user"), args.get("password")), config)) {
            ok = new Smoke(driver, args.get("mark")).run();
        }
        System.exit(ok ? 0 : 1);
    }

    boolean run() {
        step("connect", this::connect);
        if (!ok) {
            return false;
        }
        step("read", this::read);
        step("write", this::write);
        step("commit", () -> transaction(Transaction::commit, 2, 2));
        step("rollback", () -> transaction(Transaction::rollback, 3, 2));
        step("failure", this::failure);
        step("reset", this::reset);
        step("managed", this::managed);
        step("cleanup", this::cleanup);
        return ok;
    }

    void step(String name, Callable<String> f) {
        long begun = System.nanoTime();
        String detail = null;
        String error = null;
        try {
            detail = f.call();
        } catch (Throwable e) {
            error = e.toString();
            ok = false;
        }
        StringBuilder line = new StringBuilder("{\"step\":" + quote(name) + ",\"ok\":" + (error == null));
        if (detail != null) {
            line.append(",\"detail\":").append(quote(detail));
        }
        if (error != null) {
            line.append(",\"error\":").append(quote(error));
        }
        System.out.println(line + ",\"ms\":" + (System.nanoTime() - begun) / 1_000_000 + "}");
    }

    static String quote(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            b.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
        }
        return b.append('"').toString();
    }

    Session session(AccessMode mode) {
        return driver.session(SessionConfig.builder().withDefaultAccessMode(mode).build());
    }

    Session session() {
        return session(AccessMode.WRITE);
    }

    int count(SimpleQueryRunner runner) {
        return runner.run(COUNT, mark).single().get(0).asInt();
    }

    static void same(int got, int want, String what) {
        if (got != want) {
            throw new AssertionError(got + " " + what + ", not " + want);
        }
    }

    String connect() {
        try (Session s = session(AccessMode.READ)) {
            var server = s.run("RETURN 1").consume().server();
            return server.agent() + " over Bolt " + server.protocolVersion();
        }
    }

    String read() {
        try (Session s = session(AccessMode.READ)) {
            List<Object> echo = Arrays.asList("a", 1L, 2.5, true, null);
            Result result = s.run("UNWIND range(1, 1000) AS n RETURN n, $echo AS echo", Map.of("echo", echo));
            int sum = 0;
            while (result.hasNext()) {
                var record = result.next();
                sum += record.get("n").asInt();
                if (!echo.equals(record.get("echo").asList())) {
                    throw new AssertionError("echo came back as " + record.get("echo"));
                }
            }
            same(sum, 500500, "is the sum of the rows");
        }
        return null;
    }

    String write() {
        try (Session s = session()) {
            same(s.run(CREATE, mark).consume().counters().nodesCreated(), 1, "nodes created");
            same(count(s), 1, "nodes");
        }
        return null;
    }

    String transaction(Consumer<Transaction> end, int inside, int after) {
        try (Session s = session()) {
            Transaction tx = s.beginTransaction();
            tx.run(CREATE, mark);
            same(count(tx), inside, "nodes inside the transaction");
            end.accept(tx);
            same(count(s), after, "nodes");
        }
        return null;
    }

    String failure() {
        try (Session s = session()) {
            String code = "no error";
            try {
                s.run("THIS IS NOT CYPHER").consume();
            } catch (Neo4jException e) {
                code = e.code();
            }
            if (!code.endsWith(".SyntaxError")) {
                throw new AssertionError("a syntax error came back as " + code);
            }
            same(count(s), 2, "nodes");
        }
        return null;
    }

    String reset() {
        try (Session s = session()) {
            Result result = s.run("UNWIND range(1, 100000) AS n RETURN n");
            for (int i = 0; i < 10; i++) {
                result.next();
            }
        }
        try (Session s = session()) {
            same(count(s), 2, "nodes");
        }
        return null;
    }

    String managed() {
        try (Session s = session()) {
            s.executeWrite(tx -> tx.run(CREATE, mark).consume());
            same(s.executeRead(this::count), 3, "nodes");
        }
        return null;
    }

    String cleanup() {
        try (Session s = session()) {
            s.run("MATCH (s:Smoke {mark: $mark}) DELETE s", mark).consume();
        }
        return null;
    }
}
