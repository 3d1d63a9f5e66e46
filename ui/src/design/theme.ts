import {
  type CSSVariablesResolver,
  createTheme,
  type MantineColorsTuple,
  type MantineThemeOverride,
} from "@mantine/core";

const indigo: MantineColorsTuple = [
  "#eef0ff",
  "#dfe2fd",
  "#bfc5f8",
  "#9ea7f4",
  "#828cee",
  "#6a75e6",
  "#5762da",
  "#4650c8",
  "#3a43ad",
  "#2e3690",
];

const grey: MantineColorsTuple = [
  "#f7f8fa",
  "#eff1f4",
  "#e3e6eb",
  "#d0d5dd",
  "#aab1be",
  "#7d8594",
  "#5f6675",
  "#4a505d",
  "#2d323b",
  "#1a1d23",
];

const dark: MantineColorsTuple = [
  "#e8eaee",
  "#c8cdd6",
  "#a8afbc",
  "#7f8797",
  "#454b57",
  "#343a45",
  "#23272f",
  "#15171b",
  "#101216",
  "#0b0d10",
];

const sans =
  'system-ui, -apple-system, "Segoe UI", Roboto, "PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif';

/** The tokens of the design system; `theme.css` has the ones that differ between the themes. */
export const theme: MantineThemeOverride = createTheme({
  primaryColor: "indigo",
  primaryShade: { light: 7, dark: 7 },
  colors: { indigo, gray: grey, dark },
  fontFamily: sans,
  fontFamilyMonospace:
    'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Noto Sans Mono CJK SC", monospace',
  fontSizes: { xs: "12px", sm: "14px", md: "14px", lg: "16px", xl: "20px" },
  lineHeights: { xs: "1.4", sm: "1.45", md: "1.5", lg: "1.5", xl: "1.4" },
  spacing: { xs: "4px", sm: "8px", md: "16px", lg: "24px", xl: "32px" },
  radius: { xs: "3px", sm: "6px", md: "6px", lg: "6px", xl: "6px" },
  defaultRadius: "sm",
  headings: {
    fontFamily: sans,
    fontWeight: "600",
    sizes: {
      h1: { fontSize: "20px", lineHeight: "1.4" },
      h2: { fontSize: "16px", lineHeight: "1.4" },
      h3: { fontSize: "14px", lineHeight: "1.4" },
    },
  },
  respectReducedMotion: true,
  autoContrast: true,
  cursorType: "pointer",
  components: {
    Button: { defaultProps: { size: "xs", fz: "sm" } },
    ActionIcon: { defaultProps: { variant: "subtle", color: "gray" } },
    TextInput: { defaultProps: { size: "sm" } },
    Select: { defaultProps: { size: "sm", allowDeselect: false } },
    Tooltip: {
      defaultProps: { openDelay: 350, withArrow: false, transitionProps: { duration: 100 } },
    },
    Modal: { defaultProps: { transitionProps: { duration: 120 }, centered: true } },
    Menu: {
      defaultProps: { transitionProps: { duration: 100 }, shadow: "md", position: "bottom-end" },
    },
    Drawer: { defaultProps: { transitionProps: { duration: 150 } } },
    Anchor: { defaultProps: { underline: "hover", inherit: true } },
  },
});

/** Set the colours that don't reach AA contrast as they come, in both themes. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#ffffff",
    "--mantine-color-text": "#1a1d23",
    "--mantine-color-dimmed": "#565d6b",
    "--mantine-color-anchor": "#3a43ad",
    "--mantine-color-placeholder": "#6a7180",
    "--mantine-color-error": "#b8232a",
    "--mantine-color-default-border": "#d0d5dd",
    "--mantine-color-gray-light-color": "#4a505d",
    "--mantine-color-gray-text": "#4a505d",
    "--mantine-color-gray-outline": "#4a505d",
    "--mantine-color-indigo-light-color": "#3a43ad",
    "--mantine-color-red-light-color": "#a81e25",
    "--mantine-color-red-text": "#b8232a",
    "--mantine-color-red-outline": "#b8232a",
    "--mantine-color-red-filled": "#c0272d",
  },
  dark: {
    "--mantine-color-body": "#15171b",
    "--mantine-color-text": "#e8eaee",
    "--mantine-color-dimmed": "#a8afbc",
    "--mantine-color-anchor": "#a5aefc",
    "--mantine-color-placeholder": "#8f97a6",
    "--mantine-color-error": "#ff9a9a",
    "--mantine-color-default": "#1b1e24",
    "--mantine-color-default-hover": "#23272f",
    "--mantine-color-default-border": "#343a45",
    "--mantine-color-gray-light-color": "#c8cdd6",
    "--mantine-color-gray-text": "#c8cdd6",
    "--mantine-color-gray-outline": "#c8cdd6",
    "--mantine-color-indigo-light-color": "#b6bdff",
    "--mantine-color-indigo-text": "#a5aefc",
    "--mantine-color-indigo-outline": "#a5aefc",
    "--mantine-color-red-light-color": "#ff9a9a",
    "--mantine-color-red-text": "#ff9a9a",
    "--mantine-color-red-outline": "#ff9a9a",
    "--mantine-color-red-filled": "#c0272d",
  },
});
