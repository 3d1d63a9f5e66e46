import { useLingui } from "@lingui/react/macro";
import { UnstyledButton } from "@mantine/core";
import { IconFileUpload } from "@tabler/icons-react";
import { type DragEvent, useRef, useState } from "react";
import classes from "./Upload.module.css";

interface Props {
  /** What to do here, in a few words. */
  title: string;
  hint?: string;
  onFile: (file: File) => void;
}

const ENDINGS = ".jsonl,.ndjson,.json,.csv,.tsv,.txt,.parquet,.arrow,.feather,.gz,.zst";

/** Take a file by drag and drop, or by choosing it. */
export function DropZone({ title, hint, onFile }: Props) {
  const { t } = useLingui();
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const [file] = event.dataTransfer.files;
    if (file) onFile(file);
  };
  return (
    <>
      <UnstyledButton
        className={classes.drop}
        data-over={over || undefined}
        onClick={() => input.current?.click()}
        onDragOver={(event: DragEvent) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <IconFileUpload size={28} stroke={1.5} aria-hidden />
        <span className={classes.dropTitle}>{title}</span>
        {hint && <span className="secondary">{hint}</span>}
      </UnstyledButton>
      <input
        ref={input}
        type="file"
        hidden
        accept={ENDINGS}
        aria-label={t`File`}
        onChange={(event) => {
          const [file] = event.currentTarget.files ?? [];
          if (file) onFile(file);
          // The same file can be chosen again.
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}
