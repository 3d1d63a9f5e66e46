import { useLingui } from "@lingui/react/macro";
import { Button, Checkbox, Group, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import type { Dataset } from "@/api/types";
import { ENCODINGS, type Options } from "./options";

interface Props {
  options: Options;
  onOptions: (options: Partial<Options>) => void;
  /** The dataset that gets a version; only then rows can change those of another version. */
  versionOf: Dataset | undefined;
  /** Shows what is still missing. */
  faults: boolean;
}

/** How the file is read, and what its rows do. The rarer options come when asked for. */
export function ReadingFields({ options, onOptions, versionOf, faults }: Props) {
  const { t } = useLingui();
  const [more, setMore] = useState(false);
  const keyed = options.mode === "upsert" || options.mode === "delete";
  return (
    <>
      {versionOf && (
        <Select
          label={t`The rows`}
          value={options.mode}
          data={[
            { value: "replace", label: t`replace all rows of ${versionOf.version}` },
            { value: "append", label: t`are added to those of ${versionOf.version}` },
            { value: "upsert", label: t`replace rows with the same key, others are added` },
            { value: "delete", label: t`name the rows to delete, by their key` },
          ]}
          onChange={(mode) => mode && onOptions({ mode: mode as Options["mode"] })}
        />
      )}
      {versionOf && keyed && (
        <TextInput
          label={t`Key column`}
          description={t`The column whose value identifies a row, such as id.`}
          error={faults && t`Name the column that identifies rows.`}
          value={options.key}
          onChange={(event) => onOptions({ key: event.currentTarget.value })}
        />
      )}
      <TextInput
        label={t({ message: "Message", context: "version" })}
        description={t`What this version is; others read it in the list of versions.`}
        value={options.message}
        onChange={(event) => onOptions({ message: event.currentTarget.value })}
      />
      <Checkbox
        label={t`Set bad rows aside instead of refusing the file`}
        description={t`As long as they are few. They can be downloaded afterwards.`}
        checked={options.quarantine}
        onChange={(event) => onOptions({ quarantine: event.currentTarget.checked })}
      />
      {more ? (
        <Group gap="md" align="flex-start">
          <Select
            label={t`Encoding`}
            clearable
            allowDeselect
            placeholder={t`Recognised`}
            value={options.encoding || null}
            data={[...ENCODINGS]}
            onChange={(encoding) =>
              onOptions({ encoding: (encoding ?? "") as Options["encoding"] })
            }
          />
          <Select
            label={t`Separator of CSV`}
            clearable
            allowDeselect
            placeholder={t`Recognised`}
            value={options.delimiter || null}
            data={[
              { value: ",", label: t`Comma` },
              { value: ";", label: t`Semicolon` },
              { value: "\t", label: t`Tab` },
              { value: "|", label: t`Vertical bar` },
            ]}
            onChange={(delimiter) => onOptions({ delimiter: delimiter ?? "" })}
          />
          <Checkbox
            mt={30}
            label={t`The first line of CSV has the names`}
            checked={options.header}
            onChange={(event) => onOptions({ header: event.currentTarget.checked })}
          />
        </Group>
      ) : (
        <Group>
          <Button variant="subtle" color="gray" onClick={() => setMore(true)}>
            {t`More options`}
          </Button>
        </Group>
      )}
    </>
  );
}
