import type { Draft } from "./draft";
import type { TrainingFacts } from "./useTrainingFacts";

export interface StepProps {
  draft: Draft;
  onChange: (change: Partial<Draft>) => void;
  facts: TrainingFacts;
}
