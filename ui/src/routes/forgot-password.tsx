import { createFileRoute } from "@tanstack/react-router";
import { ForgotPage } from "@/pages/sign-in/ForgotPage";

export const Route = createFileRoute("/forgot-password")({ component: ForgotPage });
