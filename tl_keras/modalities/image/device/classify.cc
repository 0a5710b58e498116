// Prints the class probabilities of decoded pixels, with LiteRT's C API. Needs the header
// tensorflow/lite/c/c_api.h and its library, built for the device from TensorFlow's or LiteRT's sources.
// Compile: c++ -std=c++11 classify.cc -ltensorflowlite_c -o classify
// Use:     classify MODEL.tflite HEIGHT WIDTH < pixels.rgb
// HEIGHT and WIDTH are in pixels; pixels.rgb has 3 bytes a pixel, rows from top to bottom.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "prepare.h"
#include "tensorflow/lite/c/c_api.h"

static const char* const kLabels[] = {
$labels};
constexpr int kClasses = sizeof(kLabels) / sizeof(kLabels[0]);

int main(int argc, char** argv) {
  if (argc != 4) return fprintf(stderr, "usage: classify MODEL.tflite HEIGHT WIDTH < pixels.rgb\n"), 2;
  const int height = atoi(argv[2]), width = atoi(argv[3]);
  if (height < 1 || width < 1) {
    return fprintf(stderr, "expected HEIGHT and WIDTH in pixels, received %s %s\n", argv[2], argv[3]), 2;
  }
  std::vector<uint8_t> rgb(static_cast<size_t>(height) * width * 3);
  if (fread(rgb.data(), 1, rgb.size(), stdin) != rgb.size()) {
    return fprintf(stderr, "standard input is too short: expected HEIGHT * WIDTH * 3 bytes\n"), 2;
  }
  TfLiteModel* model = TfLiteModelCreateFromFile(argv[1]);
  if (model == nullptr) return fprintf(stderr, "%s is not a LiteRT model\n", argv[1]), 2;
  TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, 1);
  TfLiteInterpreter* interpreter = TfLiteInterpreterCreate(model, options);
  if (interpreter == nullptr || TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) return 1;

  const std::vector<uint8_t> pixels = Prepare(rgb.data(), height, width, width * 3);
  TfLiteTensor* image = TfLiteInterpreterGetInputTensor(interpreter, 0);
  TfLiteTensorCopyFromBuffer(image, pixels.data(), pixels.size());
  if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk) return 1;

  for (int i = 0; i < TfLiteInterpreterGetOutputTensorCount(interpreter); ++i) {
    const TfLiteTensor* output = TfLiteInterpreterGetOutputTensor(interpreter, i);
    const TfLiteQuantizationParams how = TfLiteTensorQuantizationParams(output);
    const bool decides = TfLiteTensorNumDims(output) == 1;  // The output `abstain (1,)` is 0 or 1.
    for (int k = 0; k < (decides ? 1 : kClasses); ++k) {
      const float probability =
          TfLiteTensorType(output) == kTfLiteUInt8
              ? how.scale * (static_cast<const uint8_t*>(TfLiteTensorData(output))[k] - how.zero_point)
              : static_cast<const float*>(TfLiteTensorData(output))[k];
      printf("%.6f %s\n", probability, decides ? "abstain" : kLabels[k]);
    }
  }
  return 0;
}
