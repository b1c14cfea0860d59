package sightline.hapi;

import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Points SMART apps to the authorization server that guards this FHIR server.
 *
 * <p>Source: SMART App Launch 2.2, "Conformance", .well-known/smart-configuration.
 */
final class SmartConfiguration extends HttpServlet {
  private final byte[] document;

  SmartConfiguration(Map<String, String> options) throws IOException {
    Map<String, Object> members = new LinkedHashMap<>();
    members.put("issuer", options.get("issuer"));
    members.put("jwks_uri", options.get("jwks"));
    members.put("authorization_endpoint", options.get("authorize"));
    members.put("token_endpoint", options.get("token"));
    members.put("introspection_endpoint", options.get("introspection"));
    members.put("grant_types_supported", List.of("authorization_code", "client_credentials"));
    members.put("token_endpoint_auth_methods_supported", List.of("private_key_jwt"));
    members.put("token_endpoint_auth_signing_alg_values_supported", List.of("RS384", "ES384"));
    members.put("code_challenge_methods_supported", List.of("S256"));
    members.put("capabilities", List.of(
        "launch-ehr", "client-confidential-asymmetric", "sso-openid-connect", "context-ehr-patient",
        "permission-patient", "permission-user", "permission-v1", "permission-v2"));
    document = new ObjectMapper().writeValueAsBytes(members);
  }

  @Override
  protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
    response.setContentType("application/json");
    response.getOutputStream().write(document);
  }
}
