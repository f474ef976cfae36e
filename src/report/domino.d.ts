/** The package's own types declare another module name. Only what charts need. */
declare module '@mixmark-io/domino' {
  const domino: { createDocument(html?: string): unknown }
  export default domino
}
