/**
 * Frames from our own route, as Cornerstone wants them: raw 16 bit values, no codec.
 *
 * Source: Cornerstone3D "Custom Image Loader", "Metadata Provider"; DICOM PS3.3 C.11.2.1.2.1.
 */

import { Enums, imageLoader, metaData, utilities, type Types } from "@cornerstonejs/core";

import { takeFrame, type Facts, type ImageEntry } from "./answers";

const SCHEME = "sightline";
const known = new Map<string, Facts>();

export function imageIdOf(entry: ImageEntry): string {
  return `${SCHEME}:${entry.frame}`;
}

/** The facts of an image that has been loaded. */
export function factsOf(imageId: string): Facts | undefined {
  return known.get(imageId);
}

export function registerFrames(): void {
  imageLoader.registerImageLoader(SCHEME, (imageId) => ({ promise: load(imageId) }));
  metaData.addProvider(describe, 10_000);
}

async function load(imageId: string): Promise<Types.IImage> {
  const { facts, values } = await takeFrame(imageId.slice(SCHEME.length + 1));
  known.set(imageId, facts);
  return image(imageId, facts, values);
}

function image(imageId: string, facts: Facts, values: Uint16Array): Types.IImage {
  const { rows, columns } = facts;
  const [low, high] = facts.window;
  const [rowSpacing, columnSpacing] = facts.spacing_mm ?? [1, 1];
  const voxelManager = utilities.VoxelManager.createImageVoxelManager({
    width: columns,
    height: rows,
    numberOfComponents: 1,
    scalarData: values,
  });
  return {
    imageId,
    rows,
    columns,
    height: rows,
    width: columns,
    minPixelValue: facts.lowest,
    maxPixelValue: facts.highest,
    slope: 1,
    intercept: 0,
    windowCenter: (low + high + 1) / 2,
    windowWidth: high - low + 1,
    voiLUTFunction: Enums.VOILUTFunctionType.LINEAR,
    getPixelData: () => values,
    getCanvas: () => {
      throw new Error("a frame is drawn by WebGL");
    },
    color: false,
    rgba: false,
    numberOfComponents: 1,
    rowPixelSpacing: rowSpacing,
    columnPixelSpacing: columnSpacing,
    invert: false,
    photometricInterpretation: "MONOCHROME2",
    sizeInBytes: values.byteLength,
    dataType: "Uint16Array",
    voxelManager,
  };
}

function describe(type: string, imageId: string): object | undefined {
  const facts = known.get(imageId);
  if (!facts) return undefined;
  const [rowSpacing, columnSpacing] = facts.spacing_mm ?? [1, 1];
  switch (type) {
    case Enums.MetadataModules.IMAGE_PIXEL:
      return {
        pixelRepresentation: 0,
        bitsAllocated: 16,
        bitsStored: 16,
        highBit: 15,
        samplesPerPixel: 1,
        photometricInterpretation: "MONOCHROME2",
      };
    case Enums.MetadataModules.IMAGE_PLANE:
      return {
        rows: facts.rows,
        columns: facts.columns,
        imageOrientationPatient: [1, 0, 0, 0, 1, 0],
        rowCosines: [1, 0, 0],
        columnCosines: [0, 1, 0],
        imagePositionPatient: [0, 0, 0],
        rowPixelSpacing: rowSpacing,
        columnPixelSpacing: columnSpacing,
        pixelSpacing: [rowSpacing, columnSpacing],
      };
    case Enums.MetadataModules.GENERAL_SERIES:
      return { modality: "" };
    default:
      return undefined;
  }
}
