// Starts Neo4j 3.5 Enterprise, whose published server artifact has no main class of its own.

import org.neo4j.graphdb.facade.GraphDatabaseDependencies;
import org.neo4j.kernel.configuration.Config;
import org.neo4j.server.BlockingBootstrapper;
import org.neo4j.server.NeoServer;
import org.neo4j.server.ServerBootstrapper;
import org.neo4j.server.database.EnterpriseGraphFactory;
import org.neo4j.server.database.GraphFactory;
import org.neo4j.server.enterprise.OpenEnterpriseNeoServer;

public class EnterpriseLauncher extends ServerBootstrapper {
    public static void main(String[] args) {
        int status = ServerBootstrapper.start(new BlockingBootstrapper(new EnterpriseLauncher()), args);
        if (status != 0) {
            System.exit(status);
        }
    }

    @Override
    protected GraphFactory createGraphFactory(Config config) {
        return new EnterpriseGraphFactory();
    }

    @Override
    protected NeoServer createNeoServer(GraphFactory factory, Config config, GraphDatabaseDependencies dependencies) {
        return new OpenEnterpriseNeoServer(config, factory, dependencies);
    }
}
