package sightline.hapi;

import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ServerCapabilityStatementProvider;
import ca.uhn.fhir.util.FhirTerser;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.hl7.fhir.instance.model.api.IBaseConformance;
import org.hl7.fhir.r4.model.CapabilityStatement;
import org.hl7.fhir.r4.model.CapabilityStatement.TypeRestfulInteraction;

/** The CapabilityStatement, without what HAPI would promise for this server and it does not do. */
public final class Capabilities extends ServerCapabilityStatementProvider {
  private final Map<String, RecordProvider<?>> providers;

  Capabilities(RestfulServer server, List<? extends RecordProvider<?>> providers) {
    super(server);
    this.providers =
        providers.stream().collect(Collectors.toMap(RecordProvider::typeName, Function.identity()));
  }

  @Override
  protected void postProcess(FhirTerser terser, IBaseConformance statement) {
    var rest = ((CapabilityStatement) statement).getRestFirstRep();
    rest.getSecurity().addService().addCoding()
        .setSystem("http://terminology.hl7.org/CodeSystem/restful-security-service")
        .setCode("SMART-on-FHIR");
    rest.getResource().removeIf(resource -> !providers.containsKey(resource.getType()));
    rest.getResource().forEach(resource -> {
      RecordProvider<?> provider = providers.get(resource.getType());
      resource.getSearchParam().removeIf(parameter -> !provider.searchesBy(parameter.getName()));
      resource.setSearchInclude(null).setSearchRevInclude(null).setConditionalUpdate(false)
          .setUpdateCreate(true);
      resource.getInteraction().removeIf(
          interaction -> interaction.getCode() == TypeRestfulInteraction.HISTORYTYPE);
    });
  }
}
