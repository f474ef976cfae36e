import { MISREAD, UNLIKELY } from './mojibake-tables.js'

const BAD = new RegExp(UNLIKELY, 'u')

/** Whether a text looks as if it was read in a wrong encoding. */
export const isBad = (text: string): boolean => BAD.test(text)

/** Runs in a text that may be another encoding's. */
export const MISREAD_RUNS = new RegExp(MISREAD, 'gu')
