// Kernels of PyTorch for XLA's CPU backend, as handlers of its foreign function
// interface. In bfloat16 PyTorch uses a CPU's matrix units (AMX), XLA does not.
//
// Arrays are dense and row-major on both sides; nothing is copied on the way in.

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <xla/ffi/api/ffi.h>

#include <stdexcept>
#include <vector>

namespace ffi = xla::ffi;
using In = ffi::AnyBuffer;
using Out = ffi::Result<ffi::AnyBuffer>;
using Axes = ffi::Span<const int64_t>;

at::ScalarType dtype_of(ffi::DataType type) {
  if (type == ffi::DataType::BF16) return at::kBFloat16;
  if (type == ffi::DataType::F32) return at::kFloat;
  throw std::runtime_error("expected bfloat16 or float32");
}

at::Tensor tensor(ffi::AnyBuffer& buffer) {
  auto shape = buffer.dimensions();
  return at::from_blob(buffer.untyped_data(),
                       at::IntArrayRef(shape.begin(), shape.size()),
                       at::TensorOptions().dtype(dtype_of(buffer.element_type())));
}

at::Tensor tensor(Out& buffer) { return tensor(*buffer); }

template <typename Function>
ffi::Error guarded(Function function) {
  try {
    c10::InferenceMode inference;
    function();
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

bool contains(Axes axes, int64_t axis) {
  for (auto other : axes) {
    if (other == axis) return true;
  }
  return false;
}

// lax.dot_general: axes are brought to (batch, rows, inner) and (batch, inner, columns)
// by strides; the order of the result, batch, rows, columns, is JAX's own.
ffi::Error dot(In lhs, In rhs, Out out, Axes left_inner, Axes right_inner,
               Axes left_batch, Axes right_batch) {
  return guarded([&] {
    auto left = tensor(lhs), right = tensor(rhs), result = tensor(out);
    std::vector<int64_t> left_axes, right_axes;
    int64_t batch = 1, rows = 1, inner = 1, columns = 1;
    for (auto axis : left_batch) {
      left_axes.push_back(axis);
      batch *= left.size(axis);
    }
    for (int64_t axis = 0; axis < left.dim(); axis++) {
      if (contains(left_batch, axis) || contains(left_inner, axis)) continue;
      left_axes.push_back(axis);
      rows *= left.size(axis);
    }
    for (auto axis : left_inner) {
      left_axes.push_back(axis);
      inner *= left.size(axis);
    }
    for (auto axis : right_batch) right_axes.push_back(axis);
    for (auto axis : right_inner) right_axes.push_back(axis);
    for (int64_t axis = 0; axis < right.dim(); axis++) {
      if (contains(right_batch, axis) || contains(right_inner, axis)) continue;
      right_axes.push_back(axis);
      columns *= right.size(axis);
    }
    auto a = left.permute(left_axes).reshape({batch, rows, inner});
    auto b = right.permute(right_axes).reshape({batch, inner, columns});
    auto c = result.view({batch, rows, columns});
    // PyTorch's products end in the dtype of their operands: a float32 result is
    // rounded to bfloat16 first.
    if (c.scalar_type() == at::kBFloat16) {
      at::bmm_out(c, a, b);
    } else {
      c.copy_(at::bmm(a, b));
    }
  });
}

ffi::Error norm(In x, In scale, In bias, Out y, Out mean, Out deviation, double epsilon) {
  return guarded([&] {
    auto input = tensor(x);
    int64_t channels = input.size(-1);
    auto [output, means, inverse] =
        at::native_layer_norm(input.reshape({-1, channels}), {channels}, tensor(scale),
                              tensor(bias), epsilon);
    tensor(y).view({-1, channels}).copy_(output);
    tensor(mean).copy_(means.reshape({-1}));
    tensor(deviation).copy_(inverse.reshape({-1}));
  });
}

ffi::Error norm_gradient(In gradient, In x, In scale, In bias, In mean, In deviation,
                         Out dx, Out dscale, Out dbias) {
  return guarded([&] {
    auto input = tensor(x);
    int64_t channels = input.size(-1);
    auto rows = input.reshape({-1, channels});
    auto incoming = tensor(gradient).reshape({-1, channels});
    auto means = tensor(mean).reshape({-1, 1});
    auto inverse = tensor(deviation).reshape({-1, 1});
    auto of_x = std::get<0>(at::native_layer_norm_backward(
        incoming, rows, {channels}, means, inverse, tensor(scale), tensor(bias),
        {true, false, false}));
    tensor(dx).view({-1, channels}).copy_(of_x);
    // PyTorch adds these two up in bfloat16: of 4,000 rows a tenth of the sum is lost.
    auto wide = incoming.to(at::kFloat);
    tensor(dscale).copy_((wide * (rows.to(at::kFloat) - means) * inverse).sum(0));
    tensor(dbias).copy_(wide.sum(0));
  });
}

ffi::Error gelu(In x, Out y) {
  return guarded([&] {
    auto output = tensor(y);
    at::gelu_out(output, tensor(x));
  });
}

ffi::Error gelu_gradient(In gradient, In x, Out dx) {
  return guarded([&] {
    auto output = tensor(dx);
    at::gelu_backward_out(output, tensor(gradient), tensor(x));
  });
}

// The scale is in the queries already.
ffi::Error attention(In query, In key, In value, Out out, Out logsumexp) {
  return guarded([&] {
    auto [output, sums] = at::_scaled_dot_product_flash_attention_for_cpu(
        tensor(query), tensor(key), tensor(value), 0.0, false, {}, 1.0);
    tensor(out).copy_(output);
    tensor(logsumexp).copy_(sums);
  });
}

ffi::Error attention_gradient(In gradient, In query, In key, In value, In out,
                              In logsumexp, Out dquery, Out dkey, Out dvalue) {
  return guarded([&] {
    // The backward kernel takes the output as the forward one leaves it: tokens before
    // heads in memory.
    auto output = tensor(out).transpose(1, 2).contiguous().transpose(1, 2);
    auto [of_query, of_key, of_value] =
        at::_scaled_dot_product_flash_attention_for_cpu_backward(
            tensor(gradient), tensor(query), tensor(key), tensor(value), output,
            tensor(logsumexp), 0.0, false, {}, 1.0);
    tensor(dquery).copy_(of_query);
    tensor(dkey).copy_(of_key);
    tensor(dvalue).copy_(of_value);
  });
}

// Sums over all axes but the last ones, accumulated in float32: blocks of rows by a
// product with ones, then the blocks.
ffi::Error row_sum(In x, Out y) {
  return guarded([&] {
    auto result = tensor(y);
    int64_t columns = result.numel();
    auto input = tensor(x).reshape({-1, columns});
    const int64_t block = 512, blocks = input.size(0) / block;
    auto total = input.narrow(0, blocks * block, input.size(0) - blocks * block)
                     .to(at::kFloat)
                     .sum(0);
    if (blocks > 0) {
      auto whole = input.narrow(0, 0, blocks * block).view({blocks, block, columns});
      auto ones = at::ones({blocks, 1, block}, input.options());
      total += at::bmm(ones, whole).to(at::kFloat).sum({0, 1});
    }
    result.view({columns}).copy_(total);
  });
}

using ffi::Ffi;
XLA_FFI_DEFINE_HANDLER_SYMBOL(Dot, dot,
                              Ffi::Bind().Arg<In>().Arg<In>().Ret<In>()
                                  .Attr<Axes>("left_inner").Attr<Axes>("right_inner")
                                  .Attr<Axes>("left_batch").Attr<Axes>("right_batch"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(Norm, norm,
                              Ffi::Bind().Arg<In>().Arg<In>().Arg<In>().Ret<In>()
                                  .Ret<In>().Ret<In>().Attr<double>("epsilon"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(NormGradient, norm_gradient,
                              Ffi::Bind().Arg<In>().Arg<In>().Arg<In>().Arg<In>()
                                  .Arg<In>().Arg<In>().Ret<In>().Ret<In>().Ret<In>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(Gelu, gelu, Ffi::Bind().Arg<In>().Ret<In>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(GeluGradient, gelu_gradient,
                              Ffi::Bind().Arg<In>().Arg<In>().Ret<In>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(Attention, attention,
                              Ffi::Bind().Arg<In>().Arg<In>().Arg<In>().Ret<In>()
                                  .Ret<In>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(AttentionGradient, attention_gradient,
                              Ffi::Bind().Arg<In>().Arg<In>().Arg<In>().Arg<In>()
                                  .Arg<In>().Arg<In>().Ret<In>().Ret<In>().Ret<In>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(RowSum, row_sum, Ffi::Bind().Arg<In>().Ret<In>());
