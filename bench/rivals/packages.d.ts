/** What we use of the packages that only bench/rivals installs; the checkout is type-checked without them. */
declare module 'onnx-proto' {
  const proto: {
    readonly onnx: {
      readonly ModelProto: {
        fromObject(model: object): unknown
        encode(model: unknown): { finish(): Uint8Array }
      }
    }
  }
  export default proto
}
