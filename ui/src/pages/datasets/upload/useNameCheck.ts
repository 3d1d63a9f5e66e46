import { useLingui } from "@lingui/react/macro";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { datasetNamedOptions } from "@/api/datasets";
import { isName } from "./names";

/** Return what is wrong with the name of a new dataset, as one types; null if nothing is. */
export function useNameCheck(project: string, name: string): string | null {
  const { t } = useLingui();
  const [settled] = useDebouncedValue(name, 300);
  const valid = isName(settled);
  const same = useQuery({ ...datasetNamedOptions(project, settled), enabled: valid });
  if (name && !isName(name))
    return t`A name can't contain / or @, nor be longer than 255 characters.`;
  if (valid && settled === name && same.data?.items.some((dataset) => dataset.name === name))
    return t`A dataset has this name already. Choose another, or add a version to it.`;
  return null;
}
