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

// Sets the model's input: token ids, padded with 0 if the model takes texts of one length alone.
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

static void Print(const TfLiteTensor* output) {
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

int main(int argc, char** argv) {
  if (argc != 4) {
    return fprintf(stderr, "usage: classify MODEL.tflite VOCAB.txt CHARACTERS.txt < texts.txt\n"), 2;
  }
  const Tokens tokens(argv[2], argv[3]);
  if (!tokens.ready()) return fprintf(stderr, "cannot read %s and %s\n", argv[2], argv[3]), 2;
  TfLiteModel* model = TfLiteModelCreateFromFile(argv[1]);
  if (model == nullptr) return fprintf(stderr, "%s is not a LiteRT model\n", argv[1]), 2;
  TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, 1);
  TfLiteInterpreter* interpreter = TfLiteInterpreterCreate(model, options);
  if (interpreter == nullptr || TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) return 1;

  std::string line;
  for (int number = 0; std::getline(std::cin, line); ++number) {
    if (!SetInput(interpreter, tokens.Encode(line))) return 1;
    if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk) return 1;
    printf("%d\n", number);
    for (int i = 0; i < TfLiteInterpreterGetOutputTensorCount(interpreter); ++i) {
      Print(TfLiteInterpreterGetOutputTensor(interpreter, i));
    }
  }
  return 0;
}
