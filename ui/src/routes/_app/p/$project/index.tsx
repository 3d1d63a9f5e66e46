import { createFileRoute } from "@tanstack/react-router";
import { OverviewPage } from "@/pages/projects/OverviewPage";

export const Route = createFileRoute("/_app/p/$project/")({ component: OverviewPage });
