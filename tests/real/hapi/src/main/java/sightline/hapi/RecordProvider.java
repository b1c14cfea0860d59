package sightline.hapi;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.RuntimeResourceDefinition;
import ca.uhn.fhir.model.api.IQueryParameterAnd;
import ca.uhn.fhir.model.api.IQueryParameterOr;
import ca.uhn.fhir.model.api.IQueryParameterType;
import ca.uhn.fhir.rest.annotation.ConditionalUrlParam;
import ca.uhn.fhir.rest.annotation.Create;
import ca.uhn.fhir.rest.annotation.OptionalParam;
import ca.uhn.fhir.rest.annotation.ResourceParam;
import ca.uhn.fhir.rest.annotation.Search;
import ca.uhn.fhir.rest.annotation.Sort;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.SortOrderEnum;
import ca.uhn.fhir.rest.api.SortSpec;
import ca.uhn.fhir.rest.api.server.IBundleProvider;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.param.ReferenceAndListParam;
import ca.uhn.fhir.rest.param.ReferenceParam;
import ca.uhn.fhir.rest.param.TokenAndListParam;
import ca.uhn.fhir.rest.param.TokenParam;
import ca.uhn.fhir.rest.server.SimpleBundleProvider;
import ca.uhn.fhir.rest.server.exceptions.InvalidRequestException;
import ca.uhn.fhir.rest.server.exceptions.PreconditionFailedException;
import ca.uhn.fhir.rest.server.provider.HashMapResourceProvider;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Comparator;
import java.util.Date;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.hl7.fhir.instance.model.api.IBase;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.instance.model.api.IIdType;
import org.hl7.fhir.r4.model.BaseDateTimeType;
import org.hl7.fhir.r4.model.DomainResource;
import org.hl7.fhir.r4.model.Identifier;
import org.hl7.fhir.r4.model.Reference;

/**
 * HAPI's in-memory provider, made honest: it searches by _id, identifier, patient, subject and
 * target, sorts by a date, refuses what it cannot search by (its parent would return everything), and
 * creates conditionally.
 *
 * <p>Source: FHIR R4 http.html (conditional create, If-Match) and search.html (token, reference).
 */
public final class RecordProvider<T extends DomainResource> extends HashMapResourceProvider<T> {
  /** Held by every write, so that search-then-create of a conditional create is one step. */
  static final Object WRITING = new Object();

  private static final Set<String> PRESENTATION =
      Set.of("_format", "_pretty", "_summary", "_elements", "_count", "_total");

  private static final Via PATIENT = new Via("Patient", Grant.PATIENT_ELEMENTS);
  private static final Via SUBJECT = new Via(null, List.of("subject"));
  private static final Via TARGET = new Via(null, List.of("target"));

  private final RuntimeResourceDefinition definition;

  RecordProvider(FhirContext fhir, Class<T> type) {
    super(fhir, type);
    definition = fhir.getResourceDefinition(type);
  }

  String typeName() {
    return definition.getName();
  }

  boolean searchesBy(String parameter) {
    return parameter.equals("_id") || definition.getSearchParam(parameter) != null;
  }

  @Search
  public List<IBaseResource> search(
      @OptionalParam(name = "_id") TokenAndListParam id,
      @OptionalParam(name = "identifier") TokenAndListParam identifier,
      @OptionalParam(name = "patient") ReferenceAndListParam patient,
      @OptionalParam(name = "subject") ReferenceAndListParam subject,
      @OptionalParam(name = "target") ReferenceAndListParam target,
      @Sort SortSpec sort,
      RequestDetails request) {
    request.getParameters().keySet().stream()
        .filter(name -> !PRESENTATION.contains(name))
        .map(name -> name.replaceFirst("[:.].*", ""))
        .filter(name -> !name.equals("_sort") && !searchesBy(name))
        .findFirst()
        .ifPresent(RecordProvider::refuseParameter);
    String base = request.getFhirServerBase();
    List<T> found = current()
        .filter(matches(id, (resource, token) -> hasId(resource, (TokenParam) token)))
        .filter(matches(identifier, (resource, token) -> hasIdentifier(resource, (TokenParam) token)))
        .filter(matches(patient, (resource, to) -> refers(resource, (ReferenceParam) to, base, PATIENT)))
        .filter(matches(subject, (resource, to) -> refers(resource, (ReferenceParam) to, base, SUBJECT)))
        .filter(matches(target, (resource, to) -> refers(resource, (ReferenceParam) to, base, TARGET)))
        .sorted(order(sort))
        .toList();
    return fireInterceptorsAndFilterAsNeeded(found, request);
  }

  /** HAPI comes here with no parameter, or with one that {@link #search} does not declare. */
  @Override
  public IBundleProvider searchAll(RequestDetails request) {
    request.getParameters().keySet().stream()
        .filter(name -> !PRESENTATION.contains(name))
        .findFirst()
        .ifPresent(RecordProvider::refuseParameter);
    return new SimpleBundleProvider(search(null, null, null, null, null, null, request));
  }

  @Create
  public MethodOutcome create(
      @ResourceParam T resource, @ConditionalUrlParam String criteria, RequestDetails request) {
    synchronized (WRITING) {
      Grant.of(request).demand(typeName(), 'c', resource);
      Optional<T> existing = criteria == null ? Optional.empty() : matching(criteria);
      if (existing.isPresent()) {
        T found = existing.get();
        return new MethodOutcome(found.getIdElement(), false).setResource(found);
      }
      resource.getMeta().setLastUpdated(new Date());
      return super.create(resource, request);
    }
  }

  /** Update, or create under the client's id. */
  @Override
  public MethodOutcome update(T resource, String criteria, RequestDetails request) {
    synchronized (WRITING) {
      demandUpdate(resource, request.getHeader("If-Match"), request);
      return write(resource, criteria, request);
    }
  }

  /** 403 without the scope for both the old and the new content; 412 when ifMatch is not the old ETag. */
  synchronized void demandUpdate(T resource, String ifMatch, RequestDetails request) {
    Optional<T> old = newest(resource.getIdElement());
    Grant.of(request).demand(typeName(), 'u', resource);
    old.ifPresent(content -> Grant.of(request).demand(typeName(), 'u', content));
    if (ifMatch != null && old.map(T::getIdElement).map(IIdType::getVersionIdPart)
        .filter(version -> ifMatch.equals("W/\"" + version + "\"")).isEmpty()) {
      throw new PreconditionFailedException("If-Match does not name the current version");
    }
  }

  @Override
  public MethodOutcome delete(IIdType id, RequestDetails request) {
    synchronized (WRITING) {
      newest(id).ifPresent(old -> Grant.of(request).demand(typeName(), 'd', old));
      return super.delete(id, request);
    }
  }

  /** Store under the id it already has; scope and version were demanded before. */
  MethodOutcome write(T resource, String criteria, RequestDetails request) {
    resource.getMeta().setLastUpdated(new Date());
    return super.update(resource, criteria, request);
  }

  /** The one resource with the criteria's identifier; 412 for several, 400 for other criteria. */
  Optional<T> matching(String criteria) {
    String[] pair = criteria.substring(criteria.indexOf('?') + 1).split("=", 2);
    if (!pair[0].equals("identifier") || pair.length < 2 || pair[1].contains("&")) {
      throw new InvalidRequestException("a conditional create here is by one identifier");
    }
    TokenParam token = new TokenParam();
    token.setValueAsQueryToken(
        getFhirContext(), "identifier", null, URLDecoder.decode(pair[1], StandardCharsets.UTF_8));
    List<T> found = current().filter(resource -> hasIdentifier(resource, token)).toList();
    if (found.size() > 1) {
      throw new PreconditionFailedException("several " + typeName() + " have this identifier");
    }
    return found.stream().findFirst();
  }

  private synchronized Optional<T> newest(IIdType id) {
    TreeMap<Long, T> versions = myIdToVersionToResourceMap.get(id.getIdPart());
    return versions == null ? Optional.empty() : Optional.of(versions.lastEntry().getValue());
  }

  private synchronized Stream<T> current() {
    return getAllResources().stream();
  }

  /** The elements a reference parameter looks at, and the one type it means, if only one. */
  private record Via(String type, List<String> elements) {}

  private interface Match<T> {
    boolean test(T resource, IQueryParameterType value);
  }

  /** Every repetition of a parameter must match, each by any of its comma-separated values. */
  private static <T> Predicate<T> matches(
      IQueryParameterAnd<? extends IQueryParameterOr<?>> all, Match<T> match) {
    return resource -> all == null || all.getValuesAsQueryTokens().stream().allMatch(
        any -> any.getValuesAsQueryTokens().stream().anyMatch(value -> match.test(resource, value)));
  }

  /** By one date that is an element of the parameter's name, such as ImagingStudy.started. */
  private Comparator<DomainResource> order(SortSpec sort) {
    if (sort == null) {
      return (one, other) -> 0;
    }
    var date = definition.getChildByName(sort.getParamName());
    if (sort.getChain() != null || date == null) {
      refuseParameter("_sort=" + sort.getParamName());
    }
    Comparator<DomainResource> ascending = Comparator.comparing(
        resource -> date.getAccessor().<IBase>getFirstValueOrNull(resource)
            .map(value -> ((BaseDateTimeType) value).getValue()).orElse(new Date(0)));
    return sort.getOrder() == SortOrderEnum.DESC ? ascending.reversed() : ascending;
  }

  private static boolean hasId(DomainResource resource, TokenParam token) {
    return resource.getIdElement().getIdPart().equals(token.getValue());
  }

  private static boolean hasIdentifier(DomainResource resource, TokenParam token) {
    if (token.getModifier() != null) {
      refuseParameter("identifier" + token.getModifier().getValue());
    }
    var element = resource.getChildByName("identifier");
    return element != null && element.getValues().stream().map(Identifier.class::cast).anyMatch(
        identifier -> (token.getSystem() == null
                || token.getSystem().equals(Objects.toString(identifier.getSystem(), "")))
            && (token.isEmpty() || Objects.equals(token.getValue(), identifier.getValue())));
  }

  private static boolean refers(
      DomainResource resource, ReferenceParam wanted, String base, Via via) {
    if (wanted.getChain() != null) {
      refuseParameter("a chained reference (" + wanted.getChain() + ")");
    }
    String type = via.type() == null ? wanted.getResourceType() : via.type();
    return via.elements().stream()
        .flatMap(element -> Grant.references(resource, element))
        .map(Reference::getReferenceElement)
        .filter(to -> !to.hasBaseUrl() || to.getBaseUrl().equals(base))
        .anyMatch(to -> Objects.equals(wanted.getIdPart(), to.getIdPart())
            && (type == null || type.equals(to.getResourceType())));
  }

  private static void refuseParameter(String name) {
    throw new InvalidRequestException("this server cannot search by " + name);
  }
}
