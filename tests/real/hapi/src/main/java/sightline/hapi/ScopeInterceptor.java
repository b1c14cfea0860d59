package sightline.hapi;

import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.rest.api.RestOperationTypeEnum;
import ca.uhn.fhir.rest.api.server.IPreResourceShowDetails;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.AuthenticationException;
import ca.uhn.fhir.rest.server.exceptions.ForbiddenOperationException;
import ca.uhn.fhir.rest.server.exceptions.UnclassifiedServerFailureException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;

/**
 * Demands a bearer token of the authorization server, and its scopes, for everything but /metadata.
 *
 * <p>401 without an active token, 403 without the scope. The token is introspected at each request and
 * nothing is remembered, so a revoked token stops at once. It is also what authorizes its own
 * introspection, so this server needs no client registration.
 *
 * <p>Source: RFC 6750 section 3 (WWW-Authenticate), RFC 7662 section 2 (introspection).
 */
@Interceptor
public final class ScopeInterceptor {
  private static final Duration TIMEOUT = Duration.ofSeconds(5);

  private final URI introspection;
  private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
  private final ObjectMapper json = new ObjectMapper();

  ScopeInterceptor(URI introspection) {
    this.introspection = introspection;
  }

  @Hook(Pointcut.SERVER_INCOMING_REQUEST_PRE_HANDLED)
  public void authorize(RequestDetails request, RestOperationTypeEnum operation) {
    if (operation == RestOperationTypeEnum.METADATA) {
      return;
    }
    Grant grant = introspect(bearerToken(request));
    grant.rememberIn(request);
    switch (operation) {
      case READ, VREAD, HISTORY_INSTANCE -> grant.demand(request.getResourceName(), 'r');
      case SEARCH_TYPE -> grant.demand(request.getResourceName(), 's');
      case CREATE -> grant.demand(request.getResourceName(), 'c');
      case UPDATE -> grant.demand(request.getResourceName(), 'u');
      case DELETE -> grant.demand(request.getResourceName(), 'd');
      case TRANSACTION, GET_PAGE -> { } // demanded per entry, and per resource shown
      default -> throw new ForbiddenOperationException("not open to any scope: " + operation.getCode());
    }
  }

  /** Hide what a {@code patient/} scope does not reach; a read then answers 404, as if it were not there. */
  @Hook(Pointcut.STORAGE_PRESHOW_RESOURCES)
  public void hideOtherPatients(RequestDetails request, IPreResourceShowDetails shown) {
    char action = request.getId() == null ? 's' : 'r';
    for (int i = 0; i < shown.size(); i++) {
      if (!Grant.of(request).allows(shown.getResource(i).fhirType(), action, shown.getResource(i))) {
        shown.setResource(i, null);
      }
    }
  }

  private static String bearerToken(RequestDetails request) {
    String header = request.getHeader("Authorization");
    if (header == null || !header.regionMatches(true, 0, "Bearer ", 0, 7)) {
      throw unauthorized("this server wants a bearer token", "Bearer");
    }
    return header.substring(7).strip();
  }

  private Grant introspect(String token) {
    HttpRequest question = HttpRequest.newBuilder(introspection)
        .timeout(TIMEOUT)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Accept", "application/json")
        .header("Authorization", "Bearer " + token)
        .POST(HttpRequest.BodyPublishers.ofString(
            "token=" + URLEncoder.encode(token, StandardCharsets.UTF_8)))
        .build();
    JsonNode answer = ask(question);
    if (!answer.path("active").asBoolean(false)) {
      throw inactive();
    }
    return new Grant(
        List.of(answer.path("scope").asText("").split(" ")), answer.path("patient").asText(""));
  }

  private JsonNode ask(HttpRequest question) {
    try {
      HttpResponse<String> answer = http.send(question, HttpResponse.BodyHandlers.ofString());
      if (answer.statusCode() == 200) {
        return json.readTree(answer.body());
      }
      if (answer.statusCode() == 401) {
        throw inactive();
      }
    } catch (IOException e) {
      // told below: the client learns no more than that the question failed
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    throw new UnclassifiedServerFailureException(503, "the authorization server did not introspect");
  }

  private static AuthenticationException inactive() {
    return unauthorized("the token is not active", "Bearer error=\"invalid_token\"");
  }

  private static AuthenticationException unauthorized(String reason, String challenge) {
    AuthenticationException refusal = new AuthenticationException(reason);
    refusal.addResponseHeader("WWW-Authenticate", challenge);
    return refusal;
  }
}
