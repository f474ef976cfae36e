import type { Search } from './method.js'
import { skipThenReuse } from './phases.js'

/** Skrr as published (arXiv 2502.08690): Algorithms 1 and 2, by D. */
export const searchPaper: Search = ({ judge }, options) => skipThenReuse(judge, options)
