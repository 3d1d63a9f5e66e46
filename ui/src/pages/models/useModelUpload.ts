import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { modelFilesOptions } from "@/api/models";
import { uploadModelFile } from "@/api/modelUpload";
import { type ChosenFile, missingFiles } from "./importFiles";

export interface UploadState {
  /** Bytes of each file that have been sent, by path. */
  sent: ReadonlyMap<string, number>;
  startedAt: number | null;
  active: boolean;
  error: unknown;
}

const IDLE: UploadState = { sent: new Map(), startedAt: null, active: false, error: null };

/** Upload the files of a model one after the other; what has arrived is not sent again. */
export function useModelUpload() {
  const queries = useQueryClient();
  const [state, setState] = useState(IDLE);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);
  // Leaving the page would cut the upload without a word.
  useEffect(() => {
    if (!state.active) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [state.active]);

  /** Return true when all files have arrived. */
  const upload = async (model: string, files: readonly ChosenFile[]): Promise<boolean> => {
    abort.current?.abort();
    const controller = new AbortController();
    abort.current = controller;
    const sent = new Map<string, number>();
    const tell = (part: Partial<UploadState> = {}) =>
      setState((before) => ({ ...before, sent: new Map(sent), ...part }));
    tell({ active: true, error: null, startedAt: Date.now() });
    try {
      const stored = await queries.fetchQuery({ ...modelFilesOptions(model), staleTime: 0 });
      const missing = missingFiles(files, stored.items);
      for (const { path, file } of files)
        if (!missing.some((other) => other.path === path)) sent.set(path, file.size);
      for (const { path, file } of missing) {
        await uploadModelFile(
          model,
          path,
          file,
          (bytes) => {
            sent.set(path, Math.min(bytes, file.size));
            tell();
          },
          controller.signal,
        );
        sent.set(path, file.size);
        tell();
      }
      tell({ active: false });
      return true;
    } catch (error) {
      const stopped = controller.signal.aborted;
      tell({ active: false, error: stopped ? null : error });
      return false;
    }
  };
  return { state, upload, stop: () => abort.current?.abort() };
}
