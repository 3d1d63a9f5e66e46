import { $api } from "./client";
import type { Schema } from "./types";

export type Licence = Schema<"LicenceOut">;

/** The packages that the platform consists of. They change only with its version. */
export const useLicences = () =>
  $api.useQuery("get", "/api/v1/licences", undefined, { staleTime: Number.POSITIVE_INFINITY });
