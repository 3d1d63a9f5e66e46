/** The prefix of a training in the address, where a model's uuid may stand. */
export const FROM_TASK = "task:";
