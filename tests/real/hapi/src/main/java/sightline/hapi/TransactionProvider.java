package sightline.hapi;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.annotation.Transaction;
import ca.uhn.fhir.rest.annotation.TransactionParam;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.InvalidRequestException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.hl7.fhir.instance.model.api.IIdType;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.Bundle.BundleEntryComponent;
import org.hl7.fhir.r4.model.Bundle.BundleEntryRequestComponent;
import org.hl7.fhir.r4.model.Bundle.HTTPVerb;
import org.hl7.fhir.r4.model.DomainResource;
import org.hl7.fhir.r4.model.IdType;

/**
 * Transactions of POST (with ifNoneExist by identifier) and PUT entries, all or nothing.
 *
 * <p>References to another entry's {@code urn:uuid:} full URL become references to what it was stored as;
 * one that no entry has is refused. Ids, references and scopes are settled before the first write.
 *
 * <p>Source: FHIR R4 http.html#transaction.
 */
public final class TransactionProvider {
  private final FhirContext fhir;
  private final Map<String, RecordProvider<?>> providers;

  TransactionProvider(FhirContext fhir, List<? extends RecordProvider<?>> providers) {
    this.fhir = fhir;
    this.providers =
        providers.stream().collect(Collectors.toMap(RecordProvider::typeName, Function.identity()));
  }

  @Transaction
  public Bundle transact(@TransactionParam Bundle bundle, RequestDetails request) {
    if (bundle.getType() != Bundle.BundleType.TRANSACTION) {
      throw new InvalidRequestException("only a Bundle of type transaction is accepted");
    }
    synchronized (RecordProvider.WRITING) {
      List<Step<?>> steps = new ArrayList<>();
      for (BundleEntryComponent entry : bundle.getEntry()) {
        steps.add(plan(entry, provider(entry)));
      }
      resolve(bundle, steps);
      steps.forEach(step -> step.demand(request));
      Bundle answer = new Bundle().setType(Bundle.BundleType.TRANSACTIONRESPONSE);
      steps.forEach(step -> answer.addEntry(step.perform(request)));
      return answer;
    }
  }

  private RecordProvider<?> provider(BundleEntryComponent entry) {
    String type = entry.getRequest().getUrl().replaceFirst("[/?].*", "");
    if (!providers.containsKey(type) || !(entry.getResource() instanceof DomainResource)
        || !entry.getResource().fhirType().equals(type)) {
      throw new InvalidRequestException("an entry for " + type + " without its resource, or not served");
    }
    return providers.get(type);
  }

  @SuppressWarnings("unchecked") // provider() compared the resource's type with the provider's
  private static <T extends DomainResource> Step<T> plan(
      BundleEntryComponent entry, RecordProvider<T> provider) {
    BundleEntryRequestComponent request = entry.getRequest();
    T resource = (T) entry.getResource();
    Optional<T> existing =
        request.hasIfNoneExist() ? provider.matching(request.getIfNoneExist()) : Optional.empty();
    if (request.getMethod() == HTTPVerb.POST && request.getUrl().equals(provider.typeName())) {
      IIdType created = new IdType(provider.typeName(), UUID.randomUUID().toString());
      return new Step<>(
          provider, resource, existing.<IIdType>map(T::getIdElement).orElse(created), false,
          existing.isPresent(), null);
    }
    IdType target = new IdType(request.getUrl());
    if (request.getMethod() == HTTPVerb.PUT && target.hasIdPart()
        && target.getIdPart().equals(resource.getIdElement().getIdPart())) {
      return new Step<>(provider, resource, target, true, false, request.getIfMatch());
    }
    throw new InvalidRequestException("entries here are POST Type or PUT Type/id, id as in the resource");
  }

  private void resolve(Bundle bundle, List<Step<?>> steps) {
    Map<String, String> storedAs = new HashMap<>();
    for (int i = 0; i < steps.size(); i++) {
      storedAs.put(bundle.getEntry().get(i).getFullUrl(), steps.get(i).reference());
    }
    for (Step<?> step : steps) {
      fhir.newTerser().getAllResourceReferences(step.resource()).forEach(found -> {
        String from = found.getResourceReference().getReferenceElement().getValue();
        if (from == null || !from.startsWith("urn:")) {
          return;
        }
        if (!storedAs.containsKey(from)) {
          throw new InvalidRequestException("no entry has the full URL that " + found.getName() + " names");
        }
        found.getResourceReference().setReference(storedAs.get(from)).setResource(null);
      });
      step.resource().setId(step.id());
    }
  }

  /** One entry, with the id it will have; nothing is written where it {@code exists} already. */
  private record Step<T extends DomainResource>(
      RecordProvider<T> provider, T resource, IIdType id, boolean updates, boolean exists, String ifMatch) {

    String reference() {
      return provider.typeName() + "/" + id.getIdPart();
    }

    void demand(RequestDetails request) {
      if (updates) {
        provider.demandUpdate(resource, ifMatch, request);
      } else {
        Grant.of(request).demand(provider.typeName(), 'c', resource);
      }
    }

    BundleEntryComponent perform(RequestDetails request) {
      BundleEntryComponent entry = new BundleEntryComponent();
      MethodOutcome outcome = exists
          ? new MethodOutcome(id, false)
          : provider.write(resource, null, request);
      entry.getResponse()
          .setStatus(Boolean.TRUE.equals(outcome.getCreated()) ? "201 Created" : "200 OK")
          .setLocation(reference() + "/_history/" + outcome.getId().getVersionIdPart())
          .setEtag("W/\"" + outcome.getId().getVersionIdPart() + "\"");
      return entry;
    }
  }
}
