// Prints the class probabilities of texts, with LiteRT's C API. Needs the header
// tensorflow/lite/c/c_api.h and its library, built for the device from TensorFlow's or LiteRT's sources.
// Compile: c++ -std=c++11 classify.cc -ltensorflowlite_c -o classify
// Use:     classify MODEL.tflite VOCAB.txt CHARACTERS.txt < texts.txt
// texts.txt has a text on each line, in UTF-8.
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "tensorflow/lite/c/c_api.h"
#include "tokens.h"

static const char* const kLabels[] = {
$labels};
constexpr int kClasses = sizeof(kLabels) / sizeof(kLabels[0]);

// Sets the model's input: the token ids of a window. They are padded with 0 if the model takes a fixed length.
static bool SetInput(TfLiteInterpreter* interpreter, std::vector<int32_t> ids) {
  const TfLiteTensor* entrance = TfLiteInterpreterGetInputTensor(interpreter, 0);
  constexpr int kFixed = $fixed;  // length that the model takes; 0 for any
  if (kFixed > 0 || ids.empty()) ids.resize(kFixed > 0 ? kFixed : 1, 0);
  const int shape[] = {1, static_cast<int>(ids.size())};
  if (TfLiteTensorDim(entrance, 0) != shape[0] || TfLiteTensorDim(entrance, 1) != shape[1]) {
    if (TfLiteInterpreterResizeInputTensor(interpreter, 0, shape, 2) != kTfLiteOk) return false;
    if (TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) return false;
  }
  TfLiteTensor* input = TfLiteInterpreterGetInputTensor(interpreter, 0);
  return TfLiteTensorCopyFromBuffer(input, ids.data(), ids.size() * sizeof(ids[0])) == kTfLiteOk;
}

static int NumValues(const TfLiteTensor* output) {
  return TfLiteTensorNumDims(output) == 1 ? 1 : kClasses;  // The output `abstain` has the shape (1,).
}

static void Add(const TfLiteTensor* output, double* sums) {
  const TfLiteQuantizationParams how = TfLiteTensorQuantizationParams(output);
  for (int k = 0; k < NumValues(output); ++k) {
    sums[k] += TfLiteTensorType(output) == kTfLiteUInt8
                   ? how.scale * (static_cast<const uint8_t*>(TfLiteTensorData(output))[k] - how.zero_point)
                   : static_cast<const float*>(TfLiteTensorData(output))[k];
  }
}

// Runs the model on all windows of a text, and prints the mean of its outputs.
static bool Classify(TfLiteInterpreter* interpreter, const std::vector<std::vector<int32_t>>& windows) {
  const int outputs = TfLiteInterpreterGetOutputTensorCount(interpreter);
  std::vector<std::vector<double>> sums(outputs, std::vector<double>(kClasses, 0));
  for (const std::vector<int32_t>& ids : windows) {
    if (!SetInput(interpreter, ids)) return false;
    if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk) return false;
    for (int i = 0; i < outputs; ++i) Add(TfLiteInterpreterGetOutputTensor(interpreter, i), &sums[i][0]);
  }
  for (int i = 0; i < outputs; ++i) {
    const TfLiteTensor* output = TfLiteInterpreterGetOutputTensor(interpreter, i);
    const bool decides = TfLiteTensorNumDims(output) == 1;
    for (int k = 0; k < NumValues(output); ++k) {
      const double mean = sums[i][k] / windows.size();
      printf("%.6f %s\n", decides ? mean >= 0.5 : mean, decides ? "abstain" : kLabels[k]);
    }
  }
  return true;
}

int main(int argc, char** argv) {
  if (argc != 4) {
    return fprintf(stderr, "usage: classify MODEL.tflite VOCAB.txt CHARACTERS.txt < texts.txt\n"), 2;
  }
  const Tokens tokens(argv[2], argv[3]);
  if (!tokens.ready()) return fprintf(stderr, "cannot read %s or %s\n", argv[2], argv[3]), 2;
  TfLiteModel* model = TfLiteModelCreateFromFile(argv[1]);
  if (model == nullptr) return fprintf(stderr, "%s is not a LiteRT model\n", argv[1]), 2;
  TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, 1);
  TfLiteInterpreter* interpreter = TfLiteInterpreterCreate(model, options);
  if (interpreter == nullptr || TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) return 1;

  std::string line;
  for (int number = 0; std::getline(std::cin, line); ++number) {
    printf("%d\n", number);
    if (!Classify(interpreter, tokens.Encode(line))) return 1;
  }
  return 0;
}
