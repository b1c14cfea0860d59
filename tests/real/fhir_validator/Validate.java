import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ca.uhn.fhir.validation.ValidationOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

/**
 * Validates FHIR R4 resources, without a network: Validate PROFILES RESOURCES, two folders of JSON files.
 * An Observation is held to the first StructureDefinition of PROFILES. Prints a line for each error:
 * file, place and message, with tabs between them.
 */
public class Validate {
  private static final FhirContext R4 = FhirContext.forR4();

  public static void main(String[] folders) throws IOException {
    PrePopulatedValidationSupport profiles = new PrePopulatedValidationSupport(R4);
    String profile = "";
    for (Path file : filesOf(folders[0])) {
      var resource = R4.newJsonParser().parseResource(Files.readString(file));
      profiles.addResource(resource);
      if (resource instanceof org.hl7.fhir.r4.model.StructureDefinition definition && profile.isEmpty()) {
        profile = definition.getUrl();
      }
    }
    FhirValidator validator = validator(profiles);
    for (Path file : filesOf(folders[1])) {
      String name = file.getFileName().toString();
      ValidationOptions options = new ValidationOptions();
      if (name.startsWith("Observation")) {
        options.addProfile(profile);
      }
      for (SingleValidationMessage said : validator.validateWithResult(Files.readString(file), options).getMessages()) {
        if (said.getSeverity().ordinal() >= ResultSeverityEnum.ERROR.ordinal()) {
          System.out.println(String.join("\t", name, said.getLocationString(), said.getMessage()));
        }
      }
    }
  }

  private static FhirValidator validator(PrePopulatedValidationSupport profiles) {
    FhirInstanceValidator instances =
        new FhirInstanceValidator(
            new ValidationSupportChain(
                new DefaultProfileValidationSupport(R4),
                profiles,
                new CommonCodeSystemsTerminologyService(R4),
                new InMemoryTerminologyServerValidationSupport(R4),
                new SnapshotGeneratingValidationSupport(R4)));
    // Extensions and profiles of HL7 AI Transparency, which R4 does not know.
    instances.setAnyExtensionsAllowed(true);
    instances.setErrorForUnknownProfiles(false);
    return R4.newValidator().registerValidatorModule(instances);
  }

  private static List<Path> filesOf(String folder) throws IOException {
    try (var files = Files.list(Path.of(folder))) {
      return files.filter(file -> file.toString().endsWith(".json")).sorted().toList();
    }
  }
}
