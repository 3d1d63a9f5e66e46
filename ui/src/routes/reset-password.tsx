import { createFileRoute } from "@tanstack/react-router";
import { ResetPage } from "@/pages/sign-in/ResetPage";

export const Route = createFileRoute("/reset-password")({ component: ResetPage });
