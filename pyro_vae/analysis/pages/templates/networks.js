"use strict";

// Fully connected networks, run in the page. A network is a list of layers y = f(W x + b), packed
// by `pyro_vae/analysis/pages/packing.py`: of each row of W there are integers and one scale.
const networks = (() => {
  const sigmoid = (a) => 1 / (1 + Math.exp(-a));

  // The error function, by 7.1.26 of Abramowitz and Stegun: off by less than 2e-7.
  function erf(a) {
    const t = 1 / (1 + 0.3275911 * Math.abs(a));
    const factors = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
    const tail = factors.reduce((sum, factor) => (sum + factor) * t, 0) * Math.exp(-a * a);
    return a < 0 ? tail - 1 : 1 - tail;
  }

  const ACTIVATIONS = {
    identity: (a) => a,
    relu: (a) => Math.max(a, 0),
    leaky_relu: (a) => (a > 0 ? a : 0.01 * a),
    elu: (a) => (a > 0 ? a : Math.expm1(a)),
    gelu: (a) => (a / 2) * (1 + erf(a / Math.SQRT2)),
    silu: (a) => a * sigmoid(a),
    tanh: Math.tanh,
    sigmoid,
    // The mean of a continuous Bernoulli distribution.
    continuous_bernoulli: (a) => (Math.abs(a) < 1e-3 ? 0.5 + a / 12 : -1 / Math.expm1(-a) - 1 / a),
  };

  // Return the numbers of a base64 text as an array of the given kind.
  const numbers = (text, Kind) =>
    new Kind(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);

  const unpack = (network) =>
    network.map((layer) => ({
      ...layer,
      weights: numbers(layer.weights, layer.bits === 16 ? Int16Array : Int8Array),
      scales: numbers(layer.scales, Float32Array),
      bias: numbers(layer.bias, Float32Array),
      activation: ACTIVATIONS[layer.activation],
    }));

  // Return f(W x + b).
  function apply({ inputs, outputs, weights, scales, bias, activation }, x) {
    const y = new Float64Array(outputs);
    for (let row = 0, at = 0; row < outputs; row++) {
      let sum = 0;
      for (let column = 0; column < inputs; column++) sum += weights[at++] * x[column];
      y[row] = activation(scales[row] * sum + bias[row]);
    }
    return y;
  }

  // Return what an unpacked network makes of a vector.
  const run = (network, x) => network.reduce((h, layer) => apply(layer, h), x);

  return { numbers, unpack, run };
})();
