"""Rules for GPUs: not asked for, not to be had, too small."""

from __future__ import annotations

from modelport.doctor.evidence import Evidence, Phase
from modelport.doctor.findings import Remedy
from modelport.doctor.last_words import proof, raised_by, said
from modelport.doctor.log_text import exceptions
from modelport.doctor.rule import Found, Rule, rule

_OUT_OF_MEMORY = (
    # PyTorch 1.x and 2.x
    r"^(?:OutOfMemoryError|RuntimeError): CUDA out of memory\.",
    r"^(?:\w*Error): CUDA error: out of memory",
    r"^RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
    # TensorFlow 2, JAX
    r"^(?:ResourceExhaustedError|XlaRuntimeError): .*(?:OOM when allocating|RESOURCE_EXHAUSTED)",
    # vLLM
    r"^ValueError: No available memory for the cache blocks",
    r"^ValueError: Free memory on device .* is less than desired GPU memory utilization",
    # onnxruntime
    r"CUDA failure 2: out of memory",
)
# What programs say that find no GPU at all.
_NO_GPU = (
    # PyTorch
    r"^RuntimeError: Found no NVIDIA driver on your system",
    r"^RuntimeError: (?:No CUDA GPUs are available|CUDA error: no CUDA-capable device is detected)",
    r"^RuntimeError: Attempting to deserialize object on a CUDA device but torch\.cuda\.is_available\(\) is False",
    r"^AssertionError: Torch not compiled with CUDA enabled",
    r"^RuntimeError: Unexpected error from cudaGetDeviceCount\(\)",
    r"libcuda\.so\.1: cannot open shared object file",
    # vLLM 0.4 and later; bitsandbytes; transformers' quantizers
    r"^RuntimeError: Failed to infer device type",
    r"^RuntimeError: (?:No GPU found\. A GPU is needed for quantization|GPU is required to quantize)",
    # CuPy, Numba, JAX, RAPIDS
    r"^CUDARuntimeError: cudaErrorNoDevice",
    r"^CudaSupportError: ",
    r"^RuntimeError: Unable to initialize backend 'cuda'",
    # llama.cpp and others in C++
    r"no CUDA-capable device is detected",
)
_UNFIT = (
    r"CUDA driver version is insufficient for CUDA runtime version",
    r"^RuntimeError: The NVIDIA driver on your system is too old",
    r"no kernel image is available for execution on the device",
    r"forward compatibility was attempted on non supported HW",
    r"unsatisfied condition: cuda>=[\d.]+",
)
_NO_RUNTIME = (
    'could not select device driver "" with capabilities: [[gpu]]',
    "nvidia-container-cli",
    "unresolvable CDI devices",
    "gives no GPU to replica",
    "assigns no GPUs",
)


@rule("GPU_OUT_OF_MEMORY")
def gpu_out_of_memory(evidence: Evidence) -> Found | None:
    """The model does not fit into the GPU's memory.

    Symptom: `torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB`,
    `CUBLAS_STATUS_ALLOC_FAILED`, `OOM when allocating tensor with shape[…]`, `No available memory for the cache
    blocks`.

    Cause: the weights, the batch and the cache of a prediction, times the number of worker processes that each hold a
    copy, exceed the memory of the GPU.

    Proof: the exception that ended the program, or that a prediction failed with.

    Fix: one worker per GPU; half precision, `torch_dtype=torch.float16`; a smaller batch; a larger
    `acceleratorConfig.type`.
    """
    found = raised_by(evidence, *_OUT_OF_MEMORY)
    line = str(found[0]) if found else ""
    if not line and evidence.phase in (Phase.PREDICT, Phase.RESPONSE, Phase.LOAD):
        failures = [one.exchange.status is None or one.exchange.status >= 500 for one in evidence.predictions]
        memory = [one for one in exceptions(evidence.last_words) if "CUDA out of memory" in one.message]
        line = str(memory[-1]) if any(failures) and memory and not evidence.passed else ""
    if not line:
        return None
    return Found(
        summary="The model does not fit into the GPU's memory.",
        cause="Weights, batch and cache, times the number of worker processes, exceed what the GPU has.",
        remedy="Use one worker per GPU, load in half precision (`torch_dtype=torch.float16`), or take a larger GPU",
        evidence=proof(evidence, line),
    )


@rule("GPU_NOT_REQUESTED")
def gpu_not_requested(evidence: Evidence) -> Found | None:
    """The program needs a GPU, and the version does not ask for one.

    Symptom: `RuntimeError: Found no NVIDIA driver on your system`, `No CUDA GPUs are available`, `Attempting to
    deserialize object on a CUDA device but torch.cuda.is_available() is False`, `libcuda.so.1: cannot open shared
    object file`, `Failed to infer device type`.

    Cause: without `acceleratorConfig` a container sees no GPU, and this program insists on one.

    Proof: what ended the program is that it found no GPU; the version's spec has no acceleratorConfig.

    Fix: `"acceleratorConfig": {"count": 1, "type": "NVIDIA_TESLA_T4"}` with an N1 machine type; or let the program use
    the CPU, `torch.load(path, map_location="cpu")`, `model.to("cpu")`.
    """
    if evidence.spec.accelerators:
        return None
    found = raised_by(evidence, *_NO_GPU)
    match = None if found else said(evidence, *_NO_GPU, within=10)
    if found is None and match is None:
        return None
    line = str(found[0]) if found else match.string if match else ""
    patch = (("add", "/acceleratorConfig", {"count": 1, "type": "NVIDIA_TESLA_T4"}),)
    on_cpu = 'torch.load(path, map_location="cpu")' if "deserialize" in line else 'device = "cpu"'
    return Found(
        summary="The program needs a GPU, and the version does not ask for one.",
        cause="Without acceleratorConfig a container sees no GPU.",
        remedy=Remedy(
            f"Write `{on_cpu}` in the program, or add"
            ' `"acceleratorConfig": {"count": 1, "type": "NVIDIA_TESLA_T4"}` to the version',
            patch if evidence.host.gpus else (),
        ),
        evidence=(*proof(evidence, line), "spec: no acceleratorConfig"),
    )


@rule("GPU_UNAVAILABLE")
def gpu_unavailable(evidence: Evidence) -> Found | None:
    """The GPU that the version asks for cannot be had, or does not fit the program.

    Symptom: `could not select device driver "" with capabilities: [[gpu]]`, `nvidia-container-cli: initialization
    error`, `unsatisfied condition: cuda>=12.8`, `CUDA driver version is insufficient for CUDA runtime version`, `no
    kernel image is available for execution on the device`.

    Cause: the machine has no GPU; the engine lacks the NVIDIA container toolkit; the machine's driver is older than the
    CUDA of the image; or the libraries of the image were compiled for other generations of GPUs.

    Proof: the engine's refusal to start the container with a GPU, or the program's last words.

    Fix: install the toolkit and `nvidia-ctk runtime configure --runtime=docker`; update the driver, or use an image
    with an older CUDA, such as `FROM nvidia/cuda:12.1.1-runtime-ubuntu22.04`; install wheels for this GPU.
    """
    refused = next((text for text in _NO_RUNTIME if text in evidence.error), "")
    if refused and evidence.healthy_s is None and not evidence.passed:
        return Found(
            summary="The container engine cannot give the container a GPU.",
            cause="The machine has none, or the engine lacks the NVIDIA container toolkit.",
            remedy="Install the NVIDIA container toolkit and run `nvidia-ctk runtime configure --runtime=docker`",
            evidence=(f"reported: {evidence.error[:300]}",),
        )
    found = raised_by(evidence, *_UNFIT, *(_NO_GPU if evidence.spec.accelerators else ()))
    match = None if found else said(evidence, *_UNFIT, within=10)
    if found is None and match is None:
        return None
    line = str(found[0]) if found else match.string if match else ""
    built_without = "not compiled with CUDA" in line
    return Found(
        summary="The GPU does not fit the program.",
        cause="The library in the image was built without CUDA."
        if built_without
        else "The machine's driver is older than the image's CUDA, or the libraries were built for other GPUs.",
        remedy="Install the build with CUDA: `pip install torch --index-url https://download.pytorch.org/whl/cu121`"
        if built_without
        else "Update the machine's NVIDIA driver, or use an image with an older CUDA",
        evidence=proof(evidence, line),
    )


RULES: tuple[Rule, ...] = (gpu_out_of_memory, gpu_not_requested, gpu_unavailable)
