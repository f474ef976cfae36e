import { searchFinerCut } from './finercut.js'
import { searchLaco } from './laco.js'
import type { Method, Search } from './method.js'
import { searchPaper } from './paper.js'
import { searchShortGpt } from './shortgpt.js'
import { searchSkrr } from './skrr.js'

export const searches: Readonly<Record<Method, Search>> = {
  skrr: searchSkrr,
  paper: searchPaper,
  finercut: searchFinerCut,
  shortgpt: searchShortGpt,
  laco: searchLaco,
}
