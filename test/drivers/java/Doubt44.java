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
    static int attempts;

    static Map<String, Object> params(Map<String, String> args, String mark) {
        Map<String, Object> params = new HashMap<>();
        params.put("mark", mark);
        attempts++;
        if (attempts == 1) {
            params.put("close", args.get("close"));
        }
        return params;
    }

    static String write(Driver driver, Map<String, String> args, String mark) {
        String text = "CREATE (n:Doubt {mark: $mark})";
        attempts = 0;
        try (Session session = driver.session()) {
            if (args.get("work").equals("auto")) {
                session.run(text, params(args, mark)).consume();
            } else {
                session.writeTransaction(tx -> {
                    tx.run(text, params(args, mark)).consume();
                    return 0;
                });
            }
        } catch (Neo4jException e) {
            return e.code() == null || e.code().equals("N/A") ? e.getClass().getSimpleName() : e.code();
        }
        return "";
    }

    public static void main(String[] argv) {
        Map<String, String> args = new HashMap<>();
        for (int i = 0; i + 1 < argv.length; i += 2) {
            args.put(argv[i].replaceFirst("^-+", ""), argv[i + 1]);
        }
        Config config = Config.builder().withMaxTransactionRetryTime(10, TimeUnit.SECONDS).build();
        Driver driver = GraphDatabase.driver(args.get("uri"), AuthTokens.basic(args.get("user"), args.get("password")), config);
        int count = Integer.parseInt(args.getOrDefault("count", "1"));
        for (int i = 1; i <= count; i++) {
            String mark = count == 1 ? args.get("mark") : args.get("mark") + "/" + i;
            String error = write(driver, args, mark);
            System.out.println("{\"mark\": \"" + mark + "\", \"attempts\": " + attempts + ", \"error\": \"" + error + "\"}");
        }
        driver.close();
        System.exit(0);
    }
}
