// The doubt program for the Java driver 4.4; package drivers says what such a program does.

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.neo4j.driver.AuthTokens;
import org.neo4j.driver.Config;
import org.neo4j.driver.Driver;
import org.neo4j.driver.GraphDatabase;
import org.neo4j.driver.Session;
import org.neo4j.driver.exceptions.Neo4jException;

public class Doubt44 {
    static int attempts = 0;

    static Map<String, Object> params(Map<String, String> args) {
        Map<String, Object> params = new HashMap<>();
        params.put("mark", args.get("mark"));
        attempts++;
        if (attempts == 1) {
            params.put("close", args.get("close"));
        }
        return params;
    }

    public static void main(String[] argv) {
        Map<String, String> args = new HashMap<>();
        for (int i = 0; i + 1 < argv.length; i += 2) {
            args.put(argv[i].replaceFirst("^-+", ""), argv[i + 1]);
        }
        Config config = Config.builder().withMaxTransactionRetryTime(10, TimeUnit.SECONDS).build();
        String error = "";
        Driver driver = GraphDatabase.driver(args.get("uri"), AuthTokens.basic(args.get("user"), args.get("password")), config);
        try (Session session = driver.session()) {
            if (args.get("work").equals("auto")) {
                session.run("CREATE (n)", params(args)).consume();
            } else {
                session.writeTransaction(tx -> {
                    tx.run("CREATE (n)", params(args)).consume();
                    return 0;
                });
            }
        } catch (Neo4jException e) {
            error = e.code() == null || e.code().equals("N/A") ? e.getClass().getSimpleName() : e.code();
        }
        System.out.println("{\"attempts\": " + attempts + ", \"error\": \"" + error + "\"}");
        driver.close();
        System.exit(0);
    }
}
