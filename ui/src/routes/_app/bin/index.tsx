import { createFileRoute } from "@tanstack/react-router";
import { binOptions } from "@/api/projectSettings";
import { BinPage } from "@/pages/project-settings/BinPage";

export const Route = createFileRoute("/_app/bin/")({
  loader: ({ context }) => void context.queries.prefetchQuery(binOptions),
  component: BinPage,
});
