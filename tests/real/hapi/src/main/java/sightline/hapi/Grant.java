package sightline.hapi;

import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.ForbiddenOperationException;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.Base;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Property;
import org.hl7.fhir.r4.model.Reference;
import org.hl7.fhir.r4.model.Resource;

/**
 * What one access token allows: its scopes, and the patient that its {@code patient/} scopes are about.
 *
 * <p>A scope with a search constraint ({@code ?category=...}) is not understood here and grants nothing.
 *
 * <p>Source: SMART App Launch 2.2, "Scopes for requesting FHIR Resources" (v2, and the v1 mapping).
 */
record Grant(List<String> scopes, String patient) {
  private static final Pattern SCOPE =
      Pattern.compile("(patient|user|system)/(\\w+|\\*)\\.(read|write|\\*|c?r?u?d?s?)");
  static final List<String> PATIENT_ELEMENTS = List.of("subject", "patient", "target");

  /** The grant of this request, as {@link ScopeInterceptor} found it. */
  static Grant of(RequestDetails request) {
    return (Grant) request.getUserData().get(Grant.class);
  }

  void rememberIn(RequestDetails request) {
    request.getUserData().put(Grant.class, this);
  }

  /** Refuse with 403 unless some scope allows {@code action} (one of c r u d s) on this type. */
  void demand(String type, char action) {
    demand(type, action, null);
  }

  /** As above, and a {@code patient/} scope counts only for a resource about the token's own patient. */
  void demand(String type, char action, Resource resource) {
    if (scopes.stream().noneMatch(scope -> allows(scope, type, action, resource))) {
      throw new ForbiddenOperationException("the token's scopes do not allow " + type + "." + action);
    }
  }

  boolean allows(String type, char action, IBaseResource resource) {
    return scopes.stream().anyMatch(scope -> allows(scope, type, action, (Resource) resource));
  }

  private boolean allows(String scope, String type, char action, Resource resource) {
    Matcher parts = SCOPE.matcher(scope);
    return parts.matches()
        && (parts.group(2).equals("*") || parts.group(2).equals(type))
        && actions(parts.group(3)).indexOf(action) >= 0
        && (!parts.group(1).equals("patient") || resource == null || isAboutPatient(resource));
  }

  private static String actions(String permission) {
    return switch (permission) {
      case "read" -> "rs";
      case "write" -> "cud";
      case "*" -> "cruds";
      default -> permission;
    };
  }

  private boolean isAboutPatient(Resource resource) {
    List<String> patients = patientsOf(resource).toList();
    return patients.isEmpty() || patients.contains(patient);
  }

  /** Ids of the patients a resource is about; none for a Practitioner, an Endpoint, a shared Device. */
  static Stream<String> patientsOf(Resource resource) {
    if (resource instanceof Patient) {
      return Stream.of(resource.getIdElement().getIdPart());
    }
    return PATIENT_ELEMENTS.stream()
        .flatMap(element -> references(resource, element))
        .filter(reference -> "Patient".equals(reference.getReferenceElement().getResourceType()))
        .map(reference -> reference.getReferenceElement().getIdPart());
  }

  /** The references in one named element of a resource; none where its type has no such element. */
  static Stream<Reference> references(Base resource, String element) {
    return Optional.ofNullable(resource.getChildByName(element)).map(Property::getValues).stream()
        .flatMap(List::stream)
        .filter(Reference.class::isInstance)
        .map(Reference.class::cast);
  }
}
