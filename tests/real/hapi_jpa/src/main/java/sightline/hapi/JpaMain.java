package sightline.hapi;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import java.net.URI;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * As {@code Main}, with HAPI's own store, searches and subscriptions instead of a map in memory.
 */
public final class JpaMain {
  /** With all of R4's, its capability statement takes it ten seconds, every minute anew. */
  private static final List<String> TYPES = List.of(
      "Patient", "Practitioner", "Endpoint", "ImagingStudy", "Observation", "DiagnosticReport",
      "DocumentReference", "Device", "Provenance", "Subscription", "SearchParameter");

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i + 1 < arguments.length; i += 2) {
      options.put(arguments[i].replaceFirst("^--", ""), arguments[i + 1]);
    }

    AnnotationConfigApplicationContext beans = new AnnotationConfigApplicationContext(JpaConfiguration.class);

    Server server = new Server();
    ServerConnector connector = new ServerConnector(server);
    connector.setHost("127.0.0.1");
    connector.setPort(Integer.parseInt(options.get("port")));
    server.addConnector(connector);

    ServletContextHandler context = new ServletContextHandler();
    context.addServlet(
        new ServletHolder(new SmartConfiguration(options)), "/fhir/.well-known/smart-configuration");
    context.addServlet(
        new ServletHolder(fhirServer(beans, URI.create(options.get("introspection")))), "/fhir/*");
    server.setHandler(context);
    server.start();

    System.out.println("ready http://127.0.0.1:" + connector.getLocalPort() + "/fhir");
    server.join();
  }

  private static RestfulServer fhirServer(AnnotationConfigApplicationContext beans, URI introspection) {
    RestfulServer server = new RestfulServer(beans.getBean(FhirContext.class));
    beans.getBean(DaoRegistry.class).setSupportedResourceTypes(TYPES);
    server.registerProviders(beans.getBean(ResourceProviderFactory.class).createProviders());
    server.registerProvider(beans.getBean(JpaSystemProvider.class));
    server.setPagingProvider(beans.getBean(DatabaseBackedPagingProvider.class));
    server.registerInterceptor(new ScopeInterceptor(introspection));
    return server;
  }

  private JpaMain() {}
}
