/** Files that were chosen for an import. Pure functions. */

export interface ChosenFile {
  path: string;
  file: File;
}

export interface Chosen {
  files: ChosenFile[];
  /** Hidden files and folders, such as `.git`, which are no part of a model. */
  skipped: number;
  /** The name of the folder or file, from which the model's name is made. */
  name: string;
}

/** Return the files of a folder with their paths inside it, without hidden ones. */
export function readChosen(chosen: readonly File[]): Chosen {
  const files = chosen.map((file) => {
    const parts = file.webkitRelativePath.split("/").filter(Boolean);
    return { path: parts.length > 1 ? parts.slice(1).join("/") : file.name, file, root: parts[0] };
  });
  const visible = files.filter(({ path }) => !path.split("/").some((part) => part.startsWith(".")));
  return {
    files: visible.map(({ path, file }) => ({ path, file })),
    skipped: files.length - visible.length,
    name: files[0]?.root ?? files[0]?.file.name ?? "",
  };
}

/** Return a name that the API accepts, made of a folder, file, package or repository. */
export function suggestName(source: string): string {
  const last = source.split("/").at(-1) ?? "";
  return last
    .replace(/\.gguf$/i, "")
    .replace(/[^A-Za-z0-9._\u3007\u3400-\u4dbf\u4e00-\u9fff-]+/g, "-")
    .replace(/^[^A-Za-z0-9\u3007\u3400-\u4dbf\u4e00-\u9fff]+/, "")
    .slice(0, 100);
}

/** Return the files that are not on the server yet, or differ in size from those there. */
export function missingFiles(
  files: readonly ChosenFile[],
  stored: readonly { path: string; size: number }[],
): ChosenFile[] {
  const sizes = new Map(stored.map(({ path, size }) => [path.replace(/^source\//, ""), size]));
  return files.filter(({ path, file }) => sizes.get(path) !== file.size);
}
