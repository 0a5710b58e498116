// Converts pixels to the model's input, as in training. C++11, no dependencies.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

constexpr int kSize = $image_size;  // px, height = width
constexpr bool kAntialias = $antialias;
enum class Fit { kStretch, kCrop, kPad };
constexpr Fit kFit = Fit::$fit;

// The input pixels of one pixel of a resized line: the first one, and the weight of each.
struct Taps {
  int first;
  std::vector<float> weights;
};

inline std::vector<Taps> TapsOf(int before, int after) {
  const float scale = static_cast<float>(before) / static_cast<float>(after);
  std::vector<Taps> found(after);
  for (int i = 0; i < after; ++i) {
    const float centre = (i + 0.5f) * scale - 0.5f;
    if (!kAntialias) {  // The two nearest pixels; beyond the centre of a border pixel, only that one.
      const float floor = std::floor(centre), share = centre - floor;
      found[i].first = std::max(static_cast<int>(floor), 0);
      if (floor < 0 || floor + 1 > before - 1) {
        found[i].weights = {1.0f};
      } else {
        found[i].weights = {1.0f - share, share};
      }
      continue;
    }
    const float radius = std::max(scale, 1.0f);
    found[i].first = std::max(static_cast<int>(std::floor(centre - radius)) + 1, 0);
    float total = 0.0f;
    for (int x = found[i].first; x < before && x < centre + radius; ++x) {
      found[i].weights.push_back(1.0f - std::fabs(x - centre) / radius);
      total += found[i].weights.back();
    }
    for (float& weight : found[i].weights) weight /= total;
  }
  return found;
}

// Returns the weighted sum of the input pixels. `step`: distance in memory between pixels of the line.
template <typename T>
inline float Blend(const Taps& taps, const T* line, int step) {
  line += static_cast<size_t>(taps.first) * step;
  if (!kAntialias && taps.weights.size() == 2) {  // TensorFlow's order of operations, for equal bits.
    const float a = line[0], b = line[step];
    return a + (b - a) * taps.weights[1];
  }
  float sum = 0.0f;
  for (size_t i = 0; i < taps.weights.size(); ++i) sum += taps.weights[i] * line[i * step];
  return sum;
}

// Returns the model's input, kSize x kSize x 3 bytes. `rgb`: rows from top to bottom, 3 bytes a pixel,
// `stride` bytes a row.
inline std::vector<uint8_t> Prepare(const uint8_t* rgb, int height, int width, int stride) {
  int inside_height = kSize, inside_width = kSize;
  if (kFit == Fit::kCrop) {
    const int side = std::min(height, width);
    rgb += ((height - side) / 2) * stride + ((width - side) / 2) * 3;
    height = width = side;
  } else if (kFit == Fit::kPad) {
    const int side = std::max(height, width);
    inside_height = std::max(static_cast<int>(static_cast<int64_t>(height) * kSize / side), 1);
    inside_width = std::max(static_cast<int>(static_cast<int64_t>(width) * kSize / side), 1);
  }
  const std::vector<Taps> rows = TapsOf(height, inside_height);
  const std::vector<Taps> columns = TapsOf(width, inside_width);
  std::vector<float> across(static_cast<size_t>(height) * inside_width * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < inside_width * 3; ++x) {
      across[static_cast<size_t>(y) * inside_width * 3 + x] =
          Blend(columns[x / 3], rgb + static_cast<size_t>(y) * stride + x % 3, 3);
    }
  }
  std::vector<uint8_t> found(kSize * kSize * 3, 0);
  const int top = (kSize - inside_height) / 2, left = (kSize - inside_width) / 2;
  for (int y = 0; y < inside_height; ++y) {
    for (int x = 0; x < inside_width * 3; ++x) {
      const float value = Blend(rows[y], across.data() + x, inside_width * 3);
      const float rounded = std::min(std::max(std::nearbyint(value), 0.0f), 255.0f);
      found[((top + y) * kSize + left) * 3 + x] = static_cast<uint8_t>(rounded);
    }
  }
  return found;
}
