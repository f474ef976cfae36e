/** skrr: T5-family text encoders in minimal memory, under plans that skip and re-use layers. */
export {
  TextEncoder,
  type Encoded,
  type EncodeOptions,
  type EncoderInput,
  type LoadOptions,
  type LoadProgress,
  type SetPlanOptions,
} from './encoder.js'
export { type Masked, type Matrix } from './batch.js'
export { type EstimateOptions, type MemoryUse } from './memory.js'
export { type OutputType } from './native.js'
export { type Precision } from './precision.js'
export { Plan, type PlanOptions } from './plan/plan.js'
export { type Compensation } from './plan/compensation.js'
export { readPlan, writePlan } from './plan/file.js'
export { listPresets, resolvePreset } from './plan/presets.js'
export { strip } from './plan/strip.js'
export {
  selectPlan,
  type CalibrationInput,
  type Discrepancy,
  type Method,
  type Selection,
  type SelectOptions,
  type SelectProgress,
  type Target,
  type Trace,
  type Work,
} from './select/index.js'
export { measureSimilarity, type Similarity } from './select/similarity.js'
export { writeReport, type ReportContext } from './report/report.js'
export { denseParameters, subBlockParameters, type Geometry } from './geometry.js'
export { pipelines, type Pipeline, type PipelineName } from './pipelines.js'
export { openCheckpoint, type OpenOptions } from './checkpoint/open.js'
export { exportPacked, type PackedExportOptions } from './packed-export.js'
export { exportCheckpoint, type ExportOptions } from './checkpoint/export.js'
export { type Checkpoint, type TensorRef } from './checkpoint/types.js'
export {
  CheckpointError,
  InputError,
  OutputError,
  PlanError,
  SkrrError,
  TokenizerError,
  type ErrorCode,
  type ErrorDetail,
} from './errors.js'
