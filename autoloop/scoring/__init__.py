"""Registration, SSIM, EMD, MSE and the objective."""
