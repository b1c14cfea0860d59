package sightline.hapi;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.server.FifoMemoryPagingProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import java.net.URI;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.hl7.fhir.r4.model.Device;
import org.hl7.fhir.r4.model.DiagnosticReport;
import org.hl7.fhir.r4.model.DocumentReference;
import org.hl7.fhir.r4.model.DomainResource;
import org.hl7.fhir.r4.model.Endpoint;
import org.hl7.fhir.r4.model.ImagingStudy;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Practitioner;
import org.hl7.fhir.r4.model.Provenance;

/**
 * Starts an in-memory FHIR R4 server on loopback and prints {@code ready BASE} once it listens.
 *
 * <p>Options, each followed by its value: {@code --port} (0 takes a free one), {@code --introspection},
 * {@code --issuer}, {@code --authorize}, {@code --token}, {@code --jwks}.
 */
public final class Main {
  private static final List<Class<? extends DomainResource>> TYPES = List.of(
      Patient.class, Practitioner.class, Endpoint.class, ImagingStudy.class, Observation.class,
      DiagnosticReport.class, DocumentReference.class, Device.class, Provenance.class);

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i + 1 < arguments.length; i += 2) {
      options.put(arguments[i].replaceFirst("^--", ""), arguments[i + 1]);
    }

    Server server = new Server();
    ServerConnector connector = new ServerConnector(server);
    connector.setHost("127.0.0.1");
    connector.setPort(Integer.parseInt(options.get("port")));
    server.addConnector(connector);

    ServletContextHandler context = new ServletContextHandler();
    context.addServlet(
        new ServletHolder(new SmartConfiguration(options)), "/fhir/.well-known/smart-configuration");
    context.addServlet(
        new ServletHolder(fhirServer(URI.create(options.get("introspection")))), "/fhir/*");
    server.setHandler(context);
    server.start();

    System.out.println("ready http://127.0.0.1:" + connector.getLocalPort() + "/fhir");
    server.join();
  }

  private static RestfulServer fhirServer(URI introspection) {
    FhirContext fhir = FhirContext.forR4();
    // Unknown elements and codes outside a required binding are refused with 400, not dropped.
    fhir.setParserErrorHandler(new StrictErrorHandler());
    List<? extends RecordProvider<?>> providers =
        TYPES.stream().map(type -> new RecordProvider<>(fhir, type)).toList();

    RestfulServer server = new RestfulServer(fhir);
    FifoMemoryPagingProvider paging = new FifoMemoryPagingProvider(16);
    paging.setDefaultPageSize(50);
    paging.setMaximumPageSize(100);
    server.setPagingProvider(paging);
    server.registerProviders(providers);
    server.registerProvider(new TransactionProvider(fhir, providers));
    server.registerInterceptor(new ScopeInterceptor(introspection));
    server.setServerConformanceProvider(new Capabilities(server, providers));
    return server;
  }

  private Main() {}
}
